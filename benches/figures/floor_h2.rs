//! The floor of HTTP/2: the `h2` crate over rustls, as the load path uses them, and nothing around them.
//!
//! One task a connection reads, looks at its streams and writes. Requests are built once; nothing is
//! counted, and no time is kept but the end's. What a client costs above it is its own; less is not to be had with
//! these libraries.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use cargo_loadgate::clock;
use h2::RecvStream;
use h2::client::{Builder, Connection, ResponseFuture, SendRequest};
use http::header::USER_AGENT;
use http::{Request, Version};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::process::{Processor, pinned, spend};
use crate::site::{PREVIEW, PREVIEW_ADDRESS, ROOT, Site};
use crate::{Failure, Outcome};

/// The argument that makes this program the floor of HTTP/2.
pub(crate) const FLOOR_H2: &str = "--floor-h2";

/// The windows that the load path offers.
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;

/// Runs the floor against the preview as a process of its own; returns the processor time that it
/// took, in seconds.
pub(crate) fn work(site: &Site, connections: u32, streams: u32, seconds: u64) -> Outcome<f64> {
    let program = std::env::current_exe()?;
    let mut command = pinned(Processor::Clients, site.inside.as_deref(), &program.display().to_string());
    let numbers = [u64::from(connections), u64::from(streams), seconds].map(|number| number.to_string());
    let root = site.project.path().join(ROOT);
    Ok(spend(command.arg(FLOOR_H2).arg(root).args(numbers))?.processor_seconds)
}

/// Is the floor: sends until its time is over.
pub(crate) fn run(arguments: &[String]) -> Outcome<()> {
    let strange = || Failure::Client(format!("the floor was asked for {arguments:?}"));
    let [root, numbers @ ..] = arguments else { return Err(strange()) };
    let numbers: Vec<u64> = numbers.iter().flat_map(|argument| argument.parse()).collect();
    let [connections, streams, seconds] = numbers[..] else { return Err(strange()) };
    let tls = tls(Path::new(root))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(<_>::default())?;
    runtime.block_on(async {
        let mut lanes = JoinSet::new();
        for _ in 0..connections {
            lanes.spawn_local(Lane::open(tls.clone(), streams).await?);
        }
        let ends_at = clock::monotonic() + Duration::from_secs(seconds);
        tokio::select! {
            Some(ended) = lanes.join_next() => {
                Err(Failure::Server(format!("a connection ended: {ended:?}")))
            }
            () = tokio::time::sleep_until(ends_at.into()) => Ok(()),
        }
    })
}

fn tls(root: &Path) -> Outcome<TlsConnector> {
    let failed = |what: String| Failure::Client(format!("the floor has no TLS: {what}"));
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(root).map_err(|error| failed(error.to_string()))?;
    roots.add(certificate).map_err(|error| failed(error.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| failed(error.to_string()))?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// One connection and its streams.
struct Lane {
    driver: Connection<TlsStream<TcpStream>, Bytes>,
    requests: SendRequest<Bytes>,
    request: Request<()>,
    streams: Vec<Stream>,
    wanted: usize,
}

enum Stream {
    Head(ResponseFuture),
    Body(RecvStream),
}

impl Lane {
    async fn open(tls: TlsConnector, streams: u64) -> Outcome<Self> {
        let address = SocketAddr::new(PREVIEW_ADDRESS.parse().map_err(strange)?, 443);
        #[expect(clippy::disallowed_methods, reason = "a bench of the bare library on a server of its own")]
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        let stream = tls.connect(ServerName::try_from(PREVIEW).map_err(strange)?, tcp).await?;
        let mut builder = Builder::new();
        builder.enable_push(false).initial_max_send_streams(0);
        builder
            .initial_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
        let (requests, mut driver) = builder.handshake(stream).await.map_err(strange)?;
        poll_fn(|cx| match Pin::new(&mut driver).poll(cx) {
            Poll::Ready(ended) => Poll::Ready(Err(Failure::Server(format!("the greeting ended: {ended:?}")))),
            Poll::Pending if requests.current_max_send_streams() > 0 => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        })
        .await?;
        // Every client says its name.
        let request = Request::get(format!("https://{PREVIEW}/")).version(Version::HTTP_2);
        let request = request.header(USER_AGENT, "floor").body(()).map_err(strange)?;
        let wanted = usize::try_from(streams).map_err(strange)?;
        Ok(Self { driver, requests, request, streams: Vec::new(), wanted })
    }

    fn send(&mut self) -> Result<Stream, h2::Error> {
        // The queue takes what the server allows, which is more than is ever sent here.
        let (response, _) = self.requests.send_request(self.request.clone(), true)?;
        Ok(Stream::Head(response))
    }
}

impl Future for Lane {
    type Output = Result<(), h2::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let lane = &mut *self;
        if let Poll::Ready(ended) = Pin::new(&mut lane.driver).poll(cx) {
            return Poll::Ready(ended);
        }
        while lane.streams.len() < lane.wanted {
            let stream = lane.send()?;
            lane.streams.push(stream);
        }
        // Only the driver brings answers, and it has just been asked: nobody need be woken for them.
        let mut nobody = Context::from_waker(Waker::noop());
        for place in 0..lane.streams.len() {
            if lane.streams[place].poll_end(&mut nobody)?.is_ready() {
                // It wakes this task, so that the driver writes what all streams send.
                lane.streams[place] = lane.send()?;
            }
        }
        Poll::Pending
    }
}

impl Stream {
    /// Is ready at the end of an answer.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, h2::Error> {
        if let Self::Head(response) = self {
            match Pin::new(response).poll(cx)? {
                Poll::Ready(response) => *self = Self::Body(response.into_body()),
                Poll::Pending => return Ok(Poll::Pending),
            }
        }
        if let Self::Body(body) = self {
            while !body.is_end_stream() {
                match body.poll_data(cx) {
                    Poll::Ready(None) => break,
                    Poll::Ready(Some(piece)) => {
                        piece?;
                    }
                    Poll::Pending => return Ok(Poll::Pending),
                }
            }
        }
        Ok(Poll::Ready(()))
    }
}

fn strange(error: impl std::fmt::Display) -> Failure {
    Failure::Client(format!("the floor failed: {error}"))
}
