//! A proxy before an embedded ECR that does one thing wrong.

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use crate::kinds::Fault;
use crate::message::{Answer, Request, peek};

/// The number of bytes after which an endless body is given up by its server.
const ENDLESS: usize = 64 * 1024 * 1024;

/// A running proxy. Its threads end with the connections of the command.
pub struct Proxy {
    pub host: String,
    state: Arc<State>,
}

struct State {
    /// The host and port of the embedded ECR.
    upstream: String,
    host: String,
    /// A port that no request may reach.
    elsewhere: String,
    log: Mutex<Log>,
}

#[derive(Default)]
struct Log {
    /// The operation that has the fault, and the number of its requests that are still to have it.
    fault: Option<(String, Fault, usize)>,
    operations: Vec<String>,
    secrets: BTreeSet<String>,
    /// The values of `Authorization` that came to the other port.
    astray: Vec<String>,
}

impl Proxy {
    /// Starts a proxy. With a fault, requests of that operation have it.
    pub fn start(upstream: &str, fault: Option<(&str, Fault)>) -> Self {
        let (listener, other) = (listen(), listen());
        let host = listener.local_addr().unwrap().to_string();
        let fault = fault.map(|(operation, fault)| (operation.to_owned(), fault, fault.times()));
        let state = Arc::new(State {
            upstream: upstream.to_owned(),
            host: host.clone(),
            elsewhere: other.local_addr().unwrap().to_string(),
            log: Mutex::new(Log { fault, ..Log::default() }),
        });
        accept(listener, state.clone(), serve);
        accept(other, state.clone(), serve_elsewhere);
        Self { host, state }
    }

    /// From now on, every request is passed on.
    pub fn heal(&self) {
        self.state.log.lock().unwrap().fault = None;
    }

    /// The operations that were asked for, each once, in the order of the first requests.
    pub fn operations(&self) -> Vec<String> {
        self.state.log.lock().unwrap().operations.clone()
    }

    /// The passwords and tokens that the registry gave out.
    pub fn secrets(&self) -> Vec<String> {
        self.state.log.lock().unwrap().secrets.iter().cloned().collect()
    }

    /// The credentials that followed a redirect to another port.
    pub fn astray(&self) -> Vec<String> {
        self.state.log.lock().unwrap().astray.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // Wakes the threads that wait for connections; they see that only they hold the state.
        let state = std::mem::replace(&mut self.state, Arc::new(State::ended()));
        let hosts = [state.host.clone(), state.elsewhere.clone()];
        state.log.lock().unwrap().fault = None;
        state.log.lock().unwrap().operations = vec![ENDED.to_owned()];
        drop(state);
        hosts.iter().for_each(|it| drop(TcpStream::connect(it)));
    }
}

/// The operation that tells the threads of a proxy to end.
const ENDED: &str = "ended";

impl State {
    fn ended() -> Self {
        let empty = String::new;
        Self { upstream: empty(), host: empty(), elsewhere: empty(), log: Mutex::default() }
    }

    fn has_ended(&self) -> bool {
        self.log.lock().unwrap().operations.first().is_some_and(|it| it == ENDED)
    }

    /// Notes the request, and takes the fault that it is to have.
    fn note(&self, operation: &str) -> Option<Fault> {
        let mut log = self.log.lock().unwrap();
        if !log.operations.iter().any(|it| it == operation) {
            log.operations.push(operation.to_owned());
        }
        let (at, fault, left) = log.fault.as_mut()?;
        if at != operation || *left == 0 {
            return None;
        }
        *left -= 1;
        Some(*fault)
    }

    fn keep_secrets(&self, answer: &Answer) {
        let Ok(json) = serde_json::from_slice::<Value>(&answer.body) else { return };
        let token = json["authorizationData"][0]["authorizationToken"].as_str();
        let decoded = token.and_then(|it| BASE64_STANDARD.decode(it).ok());
        let password =
            decoded.and_then(|it| String::from_utf8(it).ok()?.split_once(':').map(|it| it.1.to_owned()));
        let secrets = token.map(str::to_owned).into_iter().chain(password);
        self.log.lock().unwrap().secrets.extend(secrets);
    }
}

fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

fn accept(listener: TcpListener, state: Arc<State>, serve: fn(TcpStream, &State)) {
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if state.has_ended() {
                return;
            }
            let state = state.clone();
            std::thread::spawn(move || serve(stream, &state));
        }
    });
}

/// Notes the credentials of a request that should not have come.
fn serve_elsewhere(mut stream: TcpStream, state: &State) {
    let Ok(request) = Request::read(&mut stream) else { return };
    let authorization = request.header("authorization").map(str::to_owned);
    state.log.lock().unwrap().astray.extend(authorization);
    let _ = stream.write_all(&Answer::new(404, "text/plain", "nothing here").bytes(false));
}

fn serve(mut stream: TcpStream, state: &State) {
    let _ = stream.set_nodelay(true);
    while let Some(head) = peek(&stream) {
        let operation = Request::parse(&head).operation();
        match state.note(&operation) {
            // The kernel resets a connection that is closed with bytes that nobody has read.
            Some(Fault::ResetBefore) => return,
            fault => match serve_one(&mut stream, state, fault) {
                Ok(true) => {}
                _ => return,
            },
        }
    }
}

/// Answers a request. `false` if the connection is to end.
fn serve_one(stream: &mut TcpStream, state: &State, fault: Option<Fault>) -> io::Result<bool> {
    let request = Request::read(stream)?;
    let is_head = request.method == "HEAD";
    let made_up = fault.and_then(|it| it.made_up(&request, &state.elsewhere));
    let answer = match (fault, made_up) {
        (Some(Fault::Silent | Fault::SilentForever), _) => return hold(stream),
        (Some(Fault::Endless), Some(_)) if !is_head => return endless(stream),
        (_, Some(answer)) => answer,
        (fault, None) => {
            let answer = forward(&request, state)?;
            state.keep_secrets(&answer);
            fault.map_or(answer.clone(), |it| it.changed(answer))
        }
    };
    let bytes = answer.bytes(is_head);
    // Of an answer without a body, a part of the head is left out.
    let half = bytes.len() - answer.body.len().div_ceil(2).max(3);
    match fault {
        Some(Fault::ResetAfter) => return Ok(false),
        Some(Fault::Cut) => stream.write_all(&bytes[..half])?,
        Some(Fault::Stalled) => {
            stream.write_all(&bytes[..half])?;
            return hold(stream);
        }
        _ => {
            stream.write_all(&bytes)?;
            return Ok(true);
        }
    }
    stream.shutdown(Shutdown::Write)?;
    Ok(false)
}

/// Waits until the client gives up.
fn hold(stream: &mut TcpStream) -> io::Result<bool> {
    while stream.read(&mut [0; 1024])? > 0 {}
    Ok(false)
}

fn endless(stream: &mut TcpStream) -> io::Result<bool> {
    stream.write_all(
        b"HTTP/1.1 200 X\r\ncontent-type: application/json\r\ncontent-length: 10000000000\r\n\r\n{\"x\":\"",
    )?;
    let chunk = vec![b'x'; 64 * 1024];
    for _ in 0..ENDLESS / chunk.len() {
        stream.write_all(&chunk)?;
    }
    Ok(false)
}

/// Passes a request on. The answer names this proxy in place of the server.
fn forward(request: &Request, state: &State) -> io::Result<Answer> {
    let mut server = TcpStream::connect(&state.upstream)?;
    server.write_all(&request.bytes())?;
    let mut bytes = Vec::new();
    server.read_to_end(&mut bytes)?;
    Ok(Answer::parse(&bytes).replaced(&state.upstream, &state.host))
}
