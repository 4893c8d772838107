//! Measures a machine with the guest of the boot tests: `measure_wire IMAGE INITRAMFS CPU`.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement for people")]

use std::io::{Read, Write};
use std::time::{Duration, Instant};
use std::{env, thread};

use pinfold_machine::{UmlOptions, uml};

fn main() {
    let arguments: Vec<String> = env::args().collect();
    let mut options = UmlOptions::new(&arguments[1], &arguments[2]);
    options.cpu = arguments.get(3).map(|cpu| cpu.parse().unwrap());
    let mut boots: Vec<Duration> = Vec::new();
    for _ in 0..5 {
        let since = Instant::now();
        let mut machine = uml::boot(&options).unwrap();
        machine.await_guest().unwrap();
        boots.push(since.elapsed());
        let since = Instant::now();
        machine.kill();
        println!("boot {:?}, kill {:?}", boots[boots.len() - 1], since.elapsed());
    }
    let mut machine = uml::boot(&options).unwrap();
    machine.await_guest().unwrap();
    let mut wire = machine.wire().unwrap();
    wire.read_exact(&mut [0]).unwrap();
    for (size, rounds) in
        [(1_usize, 2000_u32), (100, 2000), (1024, 500), (10 * 1024, 200), (64 * 1024, 50)]
    {
        let sent = vec![b'\n'; size];
        let mut received = vec![0; size];
        let since = Instant::now();
        for _ in 0..rounds {
            let mut message = format!("e{size:08x}").into_bytes();
            message.extend(&sent);
            let mut writer = wire.try_clone().unwrap();
            let sender = thread::spawn(move || writer.write_all(&message).unwrap());
            wire.read_exact(&mut received).unwrap();
            sender.join().unwrap();
        }
        println!("echo of {size} bytes: {:?}", since.elapsed() / rounds);
    }
}
