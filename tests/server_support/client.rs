//! A plain WebSocket client, and a plainer HTTP one: what they do is what the server sees, with nothing of the library
//! under test in between.

use super::PATIENCE;
use futures_util::{SinkExt, StreamExt};
use rtcswarm::protocol::{ClientMessage, Instance, ServerMessage};
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{client_async, WebSocketStream};

/// What a test waits for, with a deadline.
pub async fn soon<T>(what: &str, future: impl std::future::Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("no {what} within {PATIENCE:?}"))
}

pub struct Client {
    pub socket: WebSocketStream<TcpStream>,
    /// The subprotocol that the server chose.
    pub protocol: Option<String>,
}

impl Client {
    /// With the token in the `Authorization` header.
    pub async fn connect(address: SocketAddr, token: &str) -> Self {
        Self::open(address, "/", &[("authorization", &format!("Bearer {token}"))]).await
    }

    pub async fn open(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Self {
        Self::try_open(address, path, headers).await.unwrap()
    }

    pub async fn try_open(
        address: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, tungstenite::Error> {
        Self::over(TcpStream::connect(address).await?, path, headers).await
    }

    /// Over a connection that is there.
    pub async fn over(stream: TcpStream, path: &str, headers: &[(&str, &str)]) -> Result<Self, tungstenite::Error> {
        let address = stream.peer_addr()?;
        // Each message is waited for.
        stream.set_nodelay(true)?;
        let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
        for (name, value) in headers {
            let name = tungstenite::http::HeaderName::try_from(*name).unwrap();
            request.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
        }
        let (socket, response) = soon("handshake", client_async(request, stream)).await?;
        let protocol = response.headers().get("sec-websocket-protocol");
        let protocol = protocol.map(|value| value.to_str().unwrap().to_owned());
        Ok(Self { socket, protocol })
    }

    /// Connected and in the room.
    pub async fn join(address: SocketAddr, user_id: &str, room: &str) -> Self {
        let mut client = Self::connect(address, &super::token(user_id, room)).await;
        client.init(user_id, room).await;
        client
    }

    pub async fn init(&mut self, user_id: &str, room: &str) {
        self.init_as(user_id, room, None).await;
    }

    pub async fn init_as(&mut self, user_id: &str, room: &str, instance: Option<Instance>) {
        let (user_id, room_id) = (user_id.into(), room.into());
        let message = ClientMessage::Init { user_id, room_id, connections: Vec::new(), instance };
        self.say(&message).await;
    }

    pub async fn offer(&mut self, id: &str, sdp: &str) {
        self.say(&ClientMessage::Offer { id: id.into(), sdp: sdp.into() }).await;
    }

    /// Returns when the server has taken all that was sent: it answers in order. Only when nothing else is to be heard.
    pub async fn sync(&mut self) {
        self.send(Message::text("no JSON")).await;
        assert_eq!(self.hear_error().await, "malformed");
    }

    /// The same, where there is more to be heard, which is passed over.
    pub async fn say_out(&mut self) {
        self.send(Message::text("no JSON")).await;
        while !matches!(self.hear().await, ServerMessage::Error { code, .. } if code == "malformed") {}
    }

    pub async fn say(&mut self, message: &ClientMessage) {
        self.send(Message::text(message.to_json())).await;
    }

    pub async fn send(&mut self, message: Message) {
        soon("room to send", self.socket.send(message)).await.unwrap();
    }

    /// The next message of the server.
    pub async fn hear(&mut self) -> ServerMessage {
        match self.next().await {
            Heard::Message(message) => message,
            other => panic!("no message but {other:?}"),
        }
    }

    /// The code of the error that the server says next.
    pub async fn hear_error(&mut self) -> String {
        match self.hear().await {
            ServerMessage::Error { code, message } => {
                assert!(!message.is_empty());
                code
            }
            other => panic!("no error but {other:?}"),
        }
    }

    /// An error, then the close with its code: what each refusal after the upgrade consists of.
    pub async fn hear_refusal(&mut self) -> (String, u16) {
        let name = self.hear_error().await;
        let (code, reason) = self.hear_close().await;
        assert_eq!(reason, name, "the close's reason is the error's code");
        (name, code)
    }

    /// The close, with nothing before it.
    pub async fn hear_close(&mut self) -> (u16, String) {
        match self.next().await {
            Heard::Close(code, reason) => (code, reason),
            other => panic!("no close but {other:?}"),
        }
    }

    /// Everything until the close.
    pub async fn hear_out(&mut self) -> (Vec<ServerMessage>, u16) {
        let mut messages = Vec::new();
        loop {
            match self.next().await {
                Heard::Message(message) => messages.push(message),
                Heard::Close(code, _) => return (messages, code),
                Heard::End(end) => panic!("no close but {end} after {messages:?}"),
            }
        }
    }

    pub async fn next(&mut self) -> Heard {
        loop {
            match soon("message of the server", self.socket.next()).await {
                Some(Ok(Message::Text(text))) => {
                    return Heard::Message(ServerMessage::parse(&text).unwrap().expect("a known message"));
                }
                Some(Ok(Message::Close(Some(frame)))) => {
                    return Heard::Close(frame.code.into(), frame.reason.to_string());
                }
                Some(Ok(Message::Close(None))) => return Heard::Close(1005, String::new()),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(other)) => panic!("{other:?} of the server"),
                Some(Err(error)) => return Heard::End(error.to_string()),
                None => return Heard::End("end".into()),
            }
        }
    }
}

#[derive(Debug)]
pub enum Heard {
    Message(ServerMessage),
    Close(u16, String),
    /// The connection is gone without a close.
    End(String),
}

/// What HTTP answers.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}

/// A GET; gives the answer up to the server's end of the connection or its `content-length`.
pub async fn get(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    soon("answer", read_answer(&mut stream)).await
}

/// The answer to a WebSocket handshake with these further headers.
pub async fn get_upgrade(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut all = vec![
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    all.extend_from_slice(headers);
    get(address, path, &all).await
}

/// The status and the `error` that a handshake with this token gets.
pub async fn knock(address: SocketAddr, token: &str) -> (u16, String) {
    let answer = get_upgrade(address, "/", &[("authorization", &format!("Bearer {token}"))]).await;
    if answer.status == 101 {
        return (101, String::new());
    }
    let body = answer.json();
    assert!(!body["message"].as_str().unwrap().is_empty(), "{answer:?}");
    let unauthorized = answer.status == 401;
    assert_eq!(header(&answer.head, "www-authenticate"), unauthorized.then_some("Bearer"), "{answer:?}");
    assert!(!answer.body.contains(token), "a token is told to nobody: {answer:?}");
    (answer.status, body["error"].as_str().unwrap().to_owned())
}

/// Waits until `/healthz` says so.
pub async fn until_health(address: SocketAddr, what: &str, look: impl Fn(&Value) -> bool) {
    let wait = async {
        while !look(&get(address, "/healthz", &[]).await.json()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(what, wait).await;
}

pub async fn read_answer(stream: &mut TcpStream) -> Answer {
    let mut received = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&received).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
            let length = header(head, "content-length").and_then(|length| length.parse().ok());
            // An accepted handshake has no body and no length.
            if status == 101 || length.is_some_and(|length: usize| body.len() >= length) {
                return Answer { status, head: head.into(), body: body.into() };
            }
        }
        if stream.read_buf(&mut received).await.unwrap() == 0 {
            panic!("the connection ended within {text:?}");
        }
    }
}

pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().filter_map(|line| line.split_once(':')).find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|h| h.1.trim())
}
