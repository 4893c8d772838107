//! Builds kernels into the cache: `build_kernel 6.12 6.1+kasan /path/to/linux ...`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people")]

use std::error::Error;

use pinfold_machine::{Cache, KernelRequest, KernelSource, Variant, kernel};

fn main() -> Result<(), Box<dyn Error>> {
    let cache = Cache::from_environment()?;
    for name in std::env::args().skip(1) {
        let (source, variant) = name.split_at(name.find('+').unwrap_or(name.len()));
        let source = match source.parse() {
            Ok(series) => KernelSource::Debian(series),
            Err(_) => KernelSource::Tree(source.into()),
        };
        let request = KernelRequest::new(source, variant.parse::<Variant>()?);
        let kernel = kernel::provide(&cache, &request, &mut |progress| eprintln!("{progress}"))?;
        println!("{}", kernel.image.display());
    }
    Ok(())
}
