//! Load for the newline-delimited framing, as `wrk` is for HTTP: `line_load PORT CONNECTIONS SECONDS MESSAGE EXPECTED`.
//!
//! Each connection has one request open: it writes MESSAGE, waits for the line and writes the next (closed loop, like wrk). A line without
//! EXPECTED in it counts as an error. Prints one line of JSON in the shape of `call.lua`. Standard library alone, a thread a connection.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, port, connections, seconds, message, expected] = &arguments[..] else {
        panic!("line_load PORT CONNECTIONS SECONDS MESSAGE EXPECTED");
    };
    let port: u16 = port.parse().expect("a port");
    let connections: usize = connections.parse().expect("a number");
    let length = Duration::from_secs_f64(seconds.parse().expect("seconds"));
    let line = format!("{message}\n").into_bytes();
    let begun = Instant::now();
    let threads: Vec<_> = (0..connections)
        .map(|_| {
            let (line, expected) = (line.clone(), expected.clone().into_bytes());
            std::thread::Builder::new()
                .stack_size(1 << 18)
                .spawn(move || drive(port, &line, &expected, begun + length))
                .expect("a thread")
        })
        .collect();
    let (mut times, mut errors, mut bytes) = (Vec::new(), 0, 0);
    for thread in threads {
        let (part, failed, read) = thread.join().expect("no panic");
        times.extend(part);
        errors += failed;
        bytes += read;
    }
    let took = begun.elapsed();
    times.sort_unstable();
    let at = |share: f64| times.get(((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1))).copied().unwrap_or(0);
    println!(
        "{{\"requests\":{},\"duration_us\":{},\"bytes\":{bytes},\"errors\":{errors},\"p50_us\":{},\"p99_us\":{},\"p999_us\":{},\"max_us\":{}}}",
        times.len(),
        took.as_micros(),
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
}

/// Times in microseconds, errors, bytes read.
fn drive(port: u16, line: &[u8], expected: &[u8], end: Instant) -> (Vec<u32>, u64, u64) {
    let mut output = TcpStream::connect(("127.0.0.1", port)).expect("connects");
    output.set_nodelay(true).expect("a TCP socket");
    output.set_read_timeout(Some(Duration::from_secs(10))).expect("a TCP socket");
    let mut input = BufReader::with_capacity(1 << 16, output.try_clone().expect("a handle"));
    let (mut times, mut errors, mut bytes, mut answer) = (Vec::with_capacity(1 << 16), 0, 0, Vec::new());
    while Instant::now() < end {
        let sent = Instant::now();
        output.write_all(line).expect("writes");
        answer.clear();
        if input.read_until(b'\n', &mut answer).unwrap_or(0) == 0 {
            return (times, errors + 1, bytes);
        }
        times.push(u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX));
        bytes += answer.len() as u64;
        if !answer.windows(expected.len()).any(|window| window == expected) {
            errors += 1;
        }
    }
    (times, errors, bytes)
}
