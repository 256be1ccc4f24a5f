//! Load at a fixed rate: `http_load PORT CONNECTIONS SECONDS RATE REQUEST EXPECTED`, REQUEST with head and body.
//!
//! An open loop: each request has a time at which it is due (RATE a second over all connections, which take turns, evenly), and its
//! latency counts from then on, whether its connection was free or still waited for the answer before. A stall is thus paid for by every
//! request that it kept waiting. RATE 0 is a closed loop: each request is due when the answer before it has come.
//!
//! One thread that waits in `ppoll` with a timer slack of a nanosecond: eight threads that sleep would wake later, and disturb
//! what they measure on a small machine. `late_p99_us` tells how late requests left whose connection was free: the load's own
//! share. Prints one line of JSON in the shape of `call.lua`. Standard library and the libc it links, nothing else.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

#[repr(C)]
struct PollFd {
    fd: i32,
    events: i16,
    revents: i16,
}

#[repr(C)]
struct TimeSpec {
    seconds: i64,
    nanoseconds: i64,
}

unsafe extern "C" {
    fn ppoll(fds: *mut PollFd, count: u64, timeout: *const TimeSpec, mask: *const u8) -> i32;
    fn prctl(option: i32, value: u64, ...) -> i32;
}

const POLLIN: i16 = 1;
const PR_SET_TIMERSLACK: i32 = 29;
/// Sleeps shorter than this are not worth their system call.
const SPIN: Duration = Duration::from_micros(3);

struct Connection {
    stream: TcpStream,
    /// When the request that is open, or the next one, is due.
    due: Instant,
    open: bool,
    /// The answer so far.
    got: Vec<u8>,
}

#[derive(Default)]
struct Found {
    /// Nanoseconds from due to the end of the answer.
    times: Vec<u64>,
    /// Nanoseconds from due to leaving, where the connection was free.
    late: Vec<u64>,
    errors: u64,
    bytes: usize,
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, port, connections, seconds, rate, request, expected] = &arguments[..] else {
        panic!("http_load PORT CONNECTIONS SECONDS RATE REQUEST EXPECTED");
    };
    let port: u16 = port.parse().expect("a port");
    let count: u32 = connections.parse().expect("a number");
    let length = Duration::from_secs_f64(seconds.parse().expect("seconds"));
    let rate: f64 = rate.parse().expect("a rate");
    let gap = (rate > 0.0).then(|| Duration::from_secs_f64(f64::from(count) / rate));
    // SAFETY: takes no pointers.
    unsafe { prctl(PR_SET_TIMERSLACK, 1) };
    let mut connections: Vec<_> = (0..count).map(|_| connect(port)).collect();
    let begun = Instant::now() + Duration::from_millis(1);
    for (connection, index) in connections.iter_mut().zip(0..) {
        connection.due = begun + gap.unwrap_or_default() * index / count;
    }
    let mut found = drive(&mut connections, gap, begun + length, request.as_bytes(), expected.as_bytes());
    let took = begun.elapsed();
    found.times.sort_unstable();
    found.late.sort_unstable();
    let at = |times: &[u64], share: f64| {
        let index = ((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1));
        times.get(index).copied().unwrap_or(0) as f64 / 1e3
    };
    println!(
        "{{\"requests\":{},\"duration_us\":{},\"bytes\":{},\"errors\":{},\"p50_us\":{},\"p99_us\":{},\"p999_us\":{},\"max_us\":{},\
         \"late_p99_us\":{}}}",
        found.times.len(),
        took.as_micros(),
        found.bytes,
        found.errors,
        at(&found.times, 0.5),
        at(&found.times, 0.99),
        at(&found.times, 0.999),
        at(&found.times, 1.0),
        at(&found.late, 0.99)
    );
}

fn connect(port: u16) -> Connection {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("connects");
    stream.set_nodelay(true).expect("a TCP socket");
    stream.set_nonblocking(true).expect("a TCP socket");
    Connection { stream, due: Instant::now(), open: false, got: Vec::with_capacity(1 << 16) }
}

/// Until all requests that were due before `end` are answered, or none has been for ten seconds.
fn drive(connections: &mut [Connection], gap: Option<Duration>, end: Instant, request: &[u8], expected: &[u8]) -> Found {
    let mut found = Found::default();
    let mut fds: Vec<_> = connections.iter().map(|one| PollFd { fd: one.stream.as_raw_fd(), events: POLLIN, revents: 0 }).collect();
    let mut last = Instant::now();
    // Whether the next request of each was due after the answer before.
    let mut free: Vec<bool> = vec![true; connections.len()];
    loop {
        let mut now = Instant::now();
        let mut next: Option<Instant> = None;
        let mut busy = false;
        for (connection, free) in connections.iter_mut().zip(&mut free) {
            if connection.open {
                busy = true;
            } else if connection.due < end {
                if connection.due <= now {
                    if *free {
                        found.late.push(nanoseconds(now - connection.due));
                    }
                    connection.stream.write_all(request).expect("a small request fits");
                    connection.open = true;
                    busy = true;
                    now = Instant::now();
                } else {
                    next = Some(next.map_or(connection.due, |other| other.min(connection.due)));
                }
            }
        }
        if !busy && next.is_none() {
            return found;
        }
        if now - last > Duration::from_secs(10) {
            found.errors += connections.iter().filter(|one| one.open).count() as u64;
            return found;
        }
        wait(&mut fds, next.map_or(Duration::from_secs(1), |due| due.saturating_duration_since(Instant::now())));
        for ((connection, fd), free) in connections.iter_mut().zip(&mut fds).zip(&mut free) {
            if fd.revents == 0 {
                continue;
            }
            fd.revents = 0;
            if !take(connection, expected, &mut found) {
                continue;
            }
            last = Instant::now();
            found.times.push(nanoseconds(last - connection.due));
            connection.open = false;
            connection.due = gap.map_or(last, |gap| connection.due + gap);
            *free = gap.is_some() && connection.due > last;
        }
    }
}

fn wait(fds: &mut [PollFd], length: Duration) {
    let length = if length < SPIN { Duration::ZERO } else { length };
    let timeout = TimeSpec { seconds: length.as_secs() as i64, nanoseconds: i64::from(length.subsec_nanos()) };
    // SAFETY: both pointers live as long as the call, and the count is theirs.
    unsafe { ppoll(fds.as_mut_ptr(), fds.len() as u64, &timeout, std::ptr::null()) };
}

/// Reads what is there; whether the answer is complete.
fn take(connection: &mut Connection, expected: &[u8], found: &mut Found) -> bool {
    let mut part = [0; 1 << 16];
    match connection.stream.read(&mut part) {
        Ok(0) => panic!("the connection was closed"),
        Ok(length) => connection.got.extend_from_slice(&part[..length]),
        Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
        Err(error) => panic!("{error}"),
    }
    let Some(length) = complete(&connection.got) else { return false };
    let right = connection.got.starts_with(b"HTTP/1.1 200") && length == connection.got.len() && holds(&connection.got, expected);
    found.errors += u64::from(!right);
    found.bytes += connection.got.len();
    connection.got.clear();
    true
}

/// The length of the answer, when it is all there. It must have a Content-Length.
fn complete(got: &[u8]) -> Option<usize> {
    let head = got.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&got[..head]).expect("a head is ASCII");
    let mut lines = text.split("\r\n").filter_map(|line| line.split_once(':'));
    let (_, value) = lines.find(|(key, _)| key.eq_ignore_ascii_case("content-length")).expect("a Content-Length");
    let length = head + value.trim().parse::<usize>().expect("a number");
    (got.len() >= length).then_some(length)
}

fn holds(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|window| window == wanted)
}

fn nanoseconds(length: Duration) -> u64 {
    u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)
}
