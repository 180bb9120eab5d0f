//! A sender: connections that stay open, each with one request at a time, as exporters of many processes.

use crate::requests::requests;
use anyhow::{Context as _, bail, ensure};
use bytes::{Buf as _, BufMut as _, Bytes};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::future::try_join_all;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::Status;
use tonic::client::Grpc;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};

/// Different requests; they are sent again and again, which ingest doesn't notice.
const REQUESTS: usize = 200;
const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// How spans are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http,
    HttpGzip,
    Grpc,
    GrpcGzip,
}

impl Protocol {
    pub fn named(name: &str) -> anyhow::Result<Self> {
        Ok(match name {
            "http" => Self::Http,
            "http-gzip" => Self::HttpGzip,
            "grpc" => Self::Grpc,
            "grpc-gzip" => Self::GrpcGzip,
            _ => bail!("{name} is none of http, http-gzip, grpc, grpc-gzip"),
        })
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::HttpGzip => "http-gzip",
            Self::Grpc => "grpc",
            Self::GrpcGzip => "grpc-gzip",
        }
    }

    pub fn is_grpc(self) -> bool {
        matches!(self, Self::Grpc | Self::GrpcGzip)
    }
}

/// Sends so many requests and waits for every answer.
#[tokio::main]
pub async fn send(protocol: Protocol, to: SocketAddr, many: usize, connections: usize) -> anyhow::Result<()> {
    let different = requests(REQUESTS.min(many)).into_iter();
    let bodies: Arc<[Bytes]> = match protocol {
        Protocol::Http => different.map(|body| http_request(&body, "")).collect(),
        Protocol::HttpGzip => {
            different.map(|body| http_request(&gzip(&body), "content-encoding: gzip\r\n")).collect()
        }
        Protocol::Grpc | Protocol::GrpcGzip => different.map(Bytes::from).collect(),
    };
    let sent = Arc::new(AtomicUsize::new(0));
    let next = move || {
        let number = sent.fetch_add(1, Ordering::Relaxed);
        (number < many).then(|| bodies[number % bodies.len()].clone())
    };
    let senders = (0..connections).map(|_| {
        let next = next.clone();
        tokio::spawn(async move {
            if protocol.is_grpc() { over_grpc(protocol, to, next).await } else { over_http(to, next).await }
        })
    });
    try_join_all(senders).await?.into_iter().collect()
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).and_then(|()| encoder.finish()).expect("memory takes everything")
}

fn http_request(body: &[u8], encoding: &str) -> Bytes {
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: bench\r\nuser-agent: bench\r\ncontent-type: application/x-protobuf\r\n\
         {encoding}content-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat().into()
}

async fn over_http(to: SocketAddr, next: impl Fn() -> Option<Bytes>) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    let mut answer = [0; 4096];
    while let Some(request) = next() {
        stream.write_all(&request).await?;
        // A whole success has no body.
        let mut length = 0;
        while !answer[..length].ends_with(b"\r\n\r\n") {
            let read = stream.read(&mut answer[length..]).await?;
            ensure!(read > 0, "the connection was closed");
            length += read;
        }
        ensure!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..length]));
    }
    Ok(())
}

async fn over_grpc(
    protocol: Protocol,
    to: SocketAddr,
    next: impl Fn() -> Option<Bytes>,
) -> anyhow::Result<()> {
    let channel: Channel = Endpoint::from_shared(format!("http://{to}"))?.connect().await?;
    let mut client = Grpc::new(channel);
    if protocol == Protocol::GrpcGzip {
        client = client.send_compressed(CompressionEncoding::Gzip);
    }
    while let Some(body) = next() {
        client.ready().await.context("no connection")?;
        client.unary(tonic::Request::new(body), EXPORT.parse()?, Plain).await?;
    }
    Ok(())
}

/// Messages that are encoded already.
struct Plain;

impl Codec for Plain {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, body: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(body);
        Ok(())
    }
}

impl Decoder for Plain {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
