//! A GET on a thread of its own, so that no server can keep its caller.
//!
//! `ureq` blocks while it looks up a name, connects and reads. It limits each of these steps, but a server that sends a byte a second
//! starts the limit of a read again with each byte, and nothing interrupts a step. So the caller waits for a channel instead: it can
//! look at its deadline and its cancel flag as often as it likes, and leave. A thread that is left behind ends with the next piece that it
//! cannot hand on, or when a step reaches its limit.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use ureq::typestate::WithoutBody;
use ureq::{RequestBuilder, ResponseExt};

const CHUNK: usize = 128 << 10;
/// How many pieces wait for a caller that is slower than the server.
const WAITING: usize = 8;

/// What the thread sends: a piece of the answer, or why there is no further one.
pub(super) type Received = Result<Piece, ureq::Error>;

/// A piece of an answer: one head, any number of bytes, one end. An answer without its end was cut off.
#[derive(Debug)]
pub(super) enum Piece {
    Head(Head),
    Bytes(Vec<u8>),
    End,
}

/// What precedes the body.
#[derive(Debug)]
pub(super) struct Head {
    /// Where the answer is from, redirects followed.
    pub uri: String,
    /// Whether the body is JSON.
    pub is_json: bool,
}

/// Starts the request. A body of more than `limit` bytes is an error.
///
/// # Errors
/// If no thread can be started.
pub(super) fn start(request: RequestBuilder<WithoutBody>, limit: u64) -> io::Result<Receiver<Received>> {
    let (sender, pieces) = sync_channel(WAITING);
    std::thread::Builder::new().name("request".into()).spawn(move || {
        if let Err(error) = send_all(request, limit, &sender) {
            let _ = sender.send(Err(error));
        }
    })?;
    Ok(pieces)
}

/// Sends every piece, unless the receiver is gone.
fn send_all(
    request: RequestBuilder<WithoutBody>,
    limit: u64,
    pieces: &SyncSender<Received>,
) -> Result<(), ureq::Error> {
    let response = request.call()?;
    let is_json = response.body().mime_type().is_some_and(|mime| mime.ends_with("json"));
    let head = Head { uri: response.get_uri().to_string(), is_json };
    if pieces.send(Ok(Piece::Head(head))).is_err() {
        return Ok(());
    }
    let mut body = response.into_body().into_with_config().limit(limit).reader();
    let mut buffer = vec![0; CHUNK];
    loop {
        let n = body.read(&mut buffer)?;
        let piece = if n == 0 { Piece::End } else { Piece::Bytes(buffer[..n].to_vec()) };
        if pieces.send(Ok(piece)).is_err() || n == 0 {
            return Ok(());
        }
    }
}
