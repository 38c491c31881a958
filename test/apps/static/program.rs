// SPDX-License-Identifier: Apache-2.0

// A static Rust program for test/apps/static_programs.py: std::net, std::thread, std::process.
// "self" prints lines that are the same wherever it runs.
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::process::{exit, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn echo(mut stream: TcpStream) -> std::io::Result<u64> {
    let mut back = stream.try_clone()?;
    let count = std::io::copy(&mut stream, &mut back)?;
    back.shutdown(Shutdown::Write)?;
    Ok(count)
}

fn serve(port: &str) -> Outcome<()> {
    let listener = TcpListener::bind(format!("0.0.0.0:{port}"))?;
    println!("listening");
    for stream in listener.incoming() {
        let stream = stream?;
        thread::spawn(move || echo(stream));
    }
    Ok(())
}

fn exchange(address: &str, length: usize) -> std::io::Result<bool> {
    let body: Vec<u8> = (0..length).map(|i| (i * 7 + i / 251) as u8).collect();
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut back = Vec::new();
    thread::scope(|scope| {
        let mut half = stream.try_clone()?;
        let sent = &body;
        let writer = scope.spawn(move || {
            half.write_all(sent)?;
            half.shutdown(Shutdown::Write)
        });
        stream.read_to_end(&mut back)?;
        writer.join().unwrap()
    })?;
    Ok(back == body)
}

// Four at a time, of growing lengths. Returns how many came back as they were sent.
fn exchanges(address: &str, count: usize) -> Outcome<usize> {
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        for first in 0..4 {
            let sender = sender.clone();
            scope.spawn(move || {
                for at in (first..count).step_by(4) {
                    sender.send(exchange(address, at * 40009)).unwrap();
                }
            });
        }
    });
    drop(sender);
    let mut right = 0;
    for result in receiver {
        right += usize::from(result?);
    }
    Ok(right)
}

fn itself() -> Outcome<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            thread::spawn(move || echo(stream));
        }
    });
    println!("exchanges: {}", exchanges(&address, 40)?);

    let mut idle = TcpStream::connect(&address)?;
    idle.set_read_timeout(Some(Duration::from_millis(50)))?;
    let timed_out = idle.read(&mut [0; 4]).unwrap_err().kind();
    idle.set_read_timeout(None)?;
    idle.set_nonblocking(true)?;
    println!("time-out: {}, {:?}", timed_out == ErrorKind::WouldBlock, idle.read(&mut [0; 4]).unwrap_err().kind());
    idle.set_nonblocking(false)?;
    idle.write_all(b"four")?;
    let mut four = [0; 4];
    idle.peek(&mut four[..1])?;
    idle.read_exact(&mut four)?;
    println!("after it: {}", String::from_utf8_lossy(&four));

    let (one, two) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    one.send_to(b"datagram", two.local_addr()?)?;
    let mut buffer = [0; 64];
    let (count, from) = two.recv_from(&mut buffer)?;
    println!("datagram: {count}, {}", from == one.local_addr()?);

    let port = {
        let closed = TcpListener::bind("127.0.0.1:0")?;
        closed.local_addr()?.port()
    };
    println!("refused: {:?}", TcpStream::connect(("127.0.0.1", port)).unwrap_err().kind());

    // Children of a static program: itself as a client, and a program that is not static.
    let (host, port) = address.split_once(':').unwrap();
    let child = Command::new(std::env::current_exe()?).args(["client", host, port, "8"]).output()?;
    println!("itself: {}, {:?}", String::from_utf8(child.stdout)?.trim(), child.status.code());
    let mut shell = Command::new("sh").args(["-c", "tr a-z A-Z; exit 4"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    shell.stdin.take().unwrap().write_all(b"through a shell")?;
    let output = shell.wait_with_output()?;
    println!("shell: {}, {:?}", String::from_utf8(output.stdout)?, output.status.code());

    let failed = thread::spawn(|| exchange("127.0.0.1:1", 1).expect("this panics")).join();
    println!("a panic in a thread: {}", failed.is_err());
    Ok(())
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["serve", port] => serve(port),
        ["client", host, port, count] => exchanges(&format!("{host}:{port}"), count.parse().unwrap())
            .map(|right| println!("{right} right")),
        ["self"] => itself().map(|()| exit(3)),
        _ => Err("usage: serve PORT | client HOST PORT COUNT | self".into()),
    };
    if let Err(error) = outcome {
        eprintln!("{error}");
        exit(1);
    }
}
