//! The program inside the system under test.

fn main() {}
