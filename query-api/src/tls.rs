//! TLS with a certificate from files, which is looked at again while it is used: certificates are renewed by others.

use anyhow::Context as _;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

/// How often the files are read again. They are small, and what they were a moment ago may be revoked.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Certificate chain and key, PEM.
#[derive(Debug, Clone)]
pub struct Files {
    /// The server's certificate first.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// Makes TLS of connections. Clones share the certificate.
#[derive(Clone)]
pub struct Tls(TlsAcceptor);

/// The certificate of the moment. New handshakes read it while a task replaces it.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

/// What the files hold.
#[derive(PartialEq, Eq)]
struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Tls {
    /// Reads the files now, and again whenever they change, until `stop`.
    ///
    /// # Errors
    /// A file can't be read, or the key is not the certificate's.
    pub fn start(files: Files, stop: CancellationToken) -> anyhow::Result<Self> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let contents = files.read()?;
        let current = Arc::new(Current(RwLock::new(contents.certified(&provider)?)));
        let mut config = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(current.clone());
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        tokio::spawn(follow(files, contents, current, provider, stop));
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// Shakes hands.
    ///
    /// # Errors
    /// The other side speaks no TLS, or none that is safe.
    pub async fn accept(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        self.0.accept(stream).await
    }
}

impl Files {
    fn read(&self) -> anyhow::Result<Contents> {
        let read =
            |path: &PathBuf| std::fs::read(path).with_context(|| format!("can't read {}", path.display()));
        Ok(Contents { certificate: read(&self.certificate)?, key: read(&self.key)? })
    }
}

impl Contents {
    fn certified(&self, provider: &CryptoProvider) -> anyhow::Result<Arc<CertifiedKey>> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&self.certificate)
            .collect::<Result<_, _>>()
            .context("--tls-cert is no PEM certificate")?;
        anyhow::ensure!(!chain.is_empty(), "--tls-cert holds no certificate");
        let key = PrivateKeyDer::from_pem_slice(&self.key).context("--tls-key is no PEM key")?;
        let certified = CertifiedKey::from_der(chain, key, provider);
        Ok(Arc::new(certified.context("--tls-key is not the key of --tls-cert")?))
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// Between the writing of one file and the other they don't fit; then the old ones stay until they do.
async fn follow(
    files: Files,
    mut used: Contents,
    current: Arc<Current>,
    provider: Arc<CryptoProvider>,
    stop: CancellationToken,
) {
    let mut warned = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let changed = match files.read() {
            Ok(contents) if contents == used => continue,
            Ok(contents) => contents.certified(&provider).map(|certified| (contents, certified)),
            Err(error) => Err(error),
        };
        match changed {
            Ok((contents, certified)) => {
                *current.0.write().unwrap_or_else(PoisonError::into_inner) = certified;
                (used, warned) = (contents, false);
                tracing::info!("the TLS certificate has changed and is used from now on");
            }
            Err(error) if !warned => {
                warned = true;
                tracing::warn!(error = %format!("{error:#}"), "the TLS files don't fit; the old certificate stays");
            }
            Err(_) => {}
        }
    }
}
