//! The proxy does what it is told, shown with an echo behind it.

use super::*;
use std::io::ErrorKind;
use std::time::Instant;

/// A server that answers every line with itself, and counts what it got.
fn echo() -> (Target, Arc<AtomicU64>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let got = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&got);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let count = Arc::clone(&count);
            thread::spawn(move || {
                let mut buffer = [0; 64];
                while let Ok(length @ 1..) = (&stream).read(&mut buffer) {
                    count.fetch_add(length as u64, Ordering::SeqCst);
                    let _ = (&stream).write_all(&buffer[..length]);
                }
            });
        }
    });
    (Target::Tcp(port), got)
}

fn open(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    stream
}

/// What comes back for `hello`: `Ok(0)` and errors other than `WouldBlock` say that the connection is closed.
fn ask(stream: &TcpStream) -> io::Result<usize> {
    let mut stream = stream;
    stream.write_all(b"hello")?;
    stream.read(&mut [0; 64])
}

fn is_closed(answer: &io::Result<usize>) -> bool {
    match answer {
        Ok(length) => *length == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

#[test]
fn a_link_passes_is_cut_and_passes_again() {
    let (target, _) = echo();
    let proxy = Proxy::start("echo", target);
    let stream = open(&proxy);
    assert_eq!(ask(&stream).unwrap(), 5);
    proxy.cut();
    assert!(is_closed(&ask(&stream)));
    assert_eq!(ask(&open(&proxy)).unwrap(), 5);
    proxy.set(Mode::Refuse);
    assert!(is_closed(&ask(&open(&proxy))));
    proxy.set(Mode::Delay(Duration::from_millis(30)));
    let started = Instant::now();
    assert_eq!(ask(&open(&proxy)).unwrap(), 5);
    assert!(started.elapsed() >= Duration::from_millis(60), "both ways");
}

#[test]
fn a_half_open_link_is_mute_and_resets_what_it_swallowed() {
    let (target, got) = echo();
    let proxy = Proxy::start("echo", target);
    let old = open(&proxy);
    assert_eq!(ask(&old).unwrap(), 5);
    proxy.set(Mode::HalfOpen);
    let new = open(&proxy);
    for stream in [&old, &new] {
        assert_eq!(ask(stream).unwrap_err().kind(), ErrorKind::WouldBlock, "no answer, no end");
    }
    assert_eq!(got.load(Ordering::SeqCst), 5, "nothing was delivered");
    proxy.set(Mode::Pass);
    assert!(is_closed(&ask(&old)) && is_closed(&ask(&new)));
    assert_eq!(ask(&open(&proxy)).unwrap(), 5);
}

#[test]
fn a_lost_answer_is_to_a_request_that_was_delivered() {
    let (target, got) = echo();
    let proxy = Proxy::start("echo", target);
    proxy.set(Mode::DropReplies);
    assert!(is_closed(&ask(&open(&proxy))));
    assert_eq!(got.load(Ordering::SeqCst), 5);
}
