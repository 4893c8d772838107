//! The command line of Pinfold.

fn main() {}
