//! The signaling server. It cannot be started without saying who may join.

use clap::{Args, Parser, Subcommand};
use rtcswarm::hub::HubConfig;
use rtcswarm::server::{JwtAuthenticator, Server, ServerConfig, TlsFiles};
use rtcswarm::swarm::MAX_NAME_BYTES;
use std::future::Future;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

/// Signaling server of rtcswarm. Who may join is decided by JSON Web Tokens: `sub` is the user id, `rooms` the rooms, `exp` the end.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true, after_help = SECRET_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Subcommand)]
enum Command {
    /// Signs a token with the secret and prints it.
    Token(Token),
}

#[derive(Args)]
struct Serve {
    /// Address and port to listen on; port 0 for any.
    #[arg(long, env = "RTCSWARM_LISTEN", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// File with the secret for HS256 tokens (32 bytes or more; white space around it is ignored).
    #[arg(long, env = "RTCSWARM_JWT_SECRET_FILE")]
    jwt_secret_file: Option<PathBuf>,
    /// Public key (PEM) for EdDSA or RS256 tokens; may be given more than once.
    #[arg(long = "jwt-public-key", env = "RTCSWARM_JWT_PUBLIC_KEY", value_delimiter = ',')]
    jwt_public_keys: Vec<PathBuf>,
    /// Tokens must be for this audience.
    #[arg(long, env = "RTCSWARM_JWT_AUDIENCE")]
    jwt_audience: Option<String>,
    /// Tokens must be from this issuer.
    #[arg(long, env = "RTCSWARM_JWT_ISSUER")]
    jwt_issuer: Option<String>,
    /// Certificate chain (PEM); together with --tls-key it makes the server speak wss://.
    #[arg(long, env = "RTCSWARM_TLS_CERT", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key (PEM) of the certificate.
    #[arg(long, env = "RTCSWARM_TLS_KEY", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Origin that pages may come from; may be given more than once. Without any: every one, the token decides.
    #[arg(long = "allowed-origin", env = "RTCSWARM_ALLOWED_ORIGIN", value_delimiter = ',')]
    allowed_origins: Vec<String>,
    /// HTML file for browsers that open the server's address with a token (`http://…/?token=…`), like build/mesh.html.
    #[arg(long, env = "RTCSWARM_PAGE")]
    page: Option<PathBuf>,
    /// Connections at once.
    #[arg(long, env = "RTCSWARM_MAX_CONNECTIONS", default_value_t = 10_000)]
    max_connections: usize,
    /// Connections of one user at once, in all its rooms.
    #[arg(long, env = "RTCSWARM_CONNECTIONS_PER_USER", default_value_t = 128)]
    connections_per_user: usize,
    /// Members in one room.
    #[arg(long, env = "RTCSWARM_MAX_MEMBERS", default_value_t = HubConfig::default().members_per_room)]
    max_members: usize,
    /// Spare offers kept for one member.
    #[arg(long, env = "RTCSWARM_MAX_SPARES", default_value_t = HubConfig::default().spares_per_member)]
    max_spares: usize,
    /// Seconds after which a spare offer is replaced: less than TURN credentials last.
    #[arg(long, env = "RTCSWARM_SPARE_TTL", default_value_t = HubConfig::default().spare_ttl.as_secs(),
          value_parser = clap::value_parser!(u64).range(1..))]
    spare_ttl: u64,
    /// Bytes in one message.
    #[arg(long, env = "RTCSWARM_MAX_MESSAGE_BYTES", default_value_t = HubConfig::default().max_message_bytes)]
    max_message_bytes: usize,
    /// Messages of one client per second.
    #[arg(long, env = "RTCSWARM_MESSAGES_PER_SECOND", default_value_t = HubConfig::default().messages_per_second)]
    messages_per_second: u32,
    /// Seconds that a member whose connection was lost may take to come back before the others are told.
    #[arg(long, env = "RTCSWARM_GRACE", default_value_t = HubConfig::default().grace.as_secs())]
    grace: u64,
    /// What to log: error, warn, info, debug, or a filter of `tracing`.
    #[arg(long, env = "RTCSWARM_LOG", default_value = "info")]
    log: String,
}

#[derive(Args)]
struct Token {
    /// File with the secret; without it, RTCSWARM_JWT_SECRET.
    #[arg(long, env = "RTCSWARM_JWT_SECRET_FILE")]
    secret_file: Option<PathBuf>,
    /// The user id, of 1 to 256 bytes.
    #[arg(long, value_parser = parse_user)]
    user: String,
    /// A room that it opens; may be given more than once. `*` for any.
    #[arg(long = "room", required = true)]
    rooms: Vec<String>,
    /// How long it is good for: 30s, 15m, 1h, 7d.
    #[arg(long, default_value = "1h", value_parser = parse_duration)]
    ttl: Duration,
    /// Its audience.
    #[arg(long)]
    audience: Option<String>,
    /// Its issuer.
    #[arg(long)]
    issuer: Option<String>,
}

/// In the help, since no option shows it: arguments are seen by every user of the machine.
const SECRET_HELP: &str = "The secret for HS256 tokens may also be in the variable RTCSWARM_JWT_SECRET itself.";
const SECRET: &str = "RTCSWARM_JWT_SECRET";

fn parse_user(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > MAX_NAME_BYTES {
        return Err(format!("a user id has 1 to {MAX_NAME_BYTES} bytes"));
    }
    Ok(text.to_owned())
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(char::is_alphabetic);
    let number: u64 = digits.parse().map_err(|_| format!("{text} is no duration like 30s, 15m, 1h or 7d"))?;
    let unit = match &text[digits.len()..] {
        "s" | "" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        other => return Err(format!("{other} is no unit; s, m, h and d are")),
    };
    number.checked_mul(unit).map(Duration::from_secs).ok_or_else(|| format!("{text} is too long"))
}

fn read_secret(path: &PathBuf) -> Result<Vec<u8>, String> {
    let secret = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(secret.trim_ascii().to_vec())
}

fn secret_of_environment() -> Option<Vec<u8>> {
    std::env::var(SECRET).ok().map(|secret| secret.trim().as_bytes().to_vec())
}

fn authenticator(serve: &Serve) -> Result<JwtAuthenticator, String> {
    let mut jwt = JwtAuthenticator::new();
    if let Some(path) = &serve.jwt_secret_file {
        jwt = jwt.with_secret(&read_secret(path)?).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    if let Some(secret) = secret_of_environment() {
        jwt = jwt.with_secret(&secret).map_err(|e| format!("{SECRET}: {e}"))?;
    }
    for path in &serve.jwt_public_keys {
        let pem = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
        jwt = jwt.with_public_key(&pem).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    if !jwt.has_keys() {
        return Err("who may join? give --jwt-secret-file FILE, --jwt-public-key FILE, or RTCSWARM_JWT_SECRET".into());
    }
    if let Some(audience) = &serve.jwt_audience {
        jwt = jwt.with_audience(audience);
    }
    if let Some(issuer) = &serve.jwt_issuer {
        jwt = jwt.with_issuer(issuer);
    }
    Ok(jwt)
}

async fn serve(serve: Serve) -> Result<(), String> {
    let mut config = ServerConfig::new(serve.listen, authenticator(&serve)?);
    config.tls = match (&serve.tls_cert, &serve.tls_key) {
        (Some(certificate), Some(key)) => Some(TlsFiles { certificate: certificate.clone(), key: key.clone() }),
        _ => None,
    };
    config.max_connections = serve.max_connections;
    config.connections_per_user = serve.connections_per_user.max(1);
    config.allowed_origins = serve.allowed_origins;
    let read = |path: &PathBuf| std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()));
    config.page = serve.page.as_ref().map(read).transpose()?;
    config.hub = HubConfig {
        members_per_room: serve.max_members,
        spares_per_member: serve.max_spares,
        spare_ttl: Duration::from_secs(serve.spare_ttl),
        max_message_bytes: serve.max_message_bytes,
        messages_per_second: serve.messages_per_second,
        grace: Duration::from_secs(serve.grace),
        ..HubConfig::default()
    };
    let scheme = if config.tls.is_some() { "wss" } else { "ws" };
    let server = Server::bind(config).await.map_err(|e| e.to_string())?;
    let address = server.local_addr().map_err(|e| e.to_string())?;
    // Before anybody is told that it is there, and may want it to go.
    let stopped = stop_signal()?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "listening on {scheme}://{address}/").and_then(|()| stdout.flush()).map_err(|e| e.to_string())?;
    let handle = server.handle();
    tokio::spawn(async move {
        stopped.await;
        handle.stop();
    });
    server.serve().await;
    Ok(())
}

/// Listens for what asks the process to end, from now on.
#[cfg(unix)]
fn stop_signal() -> Result<impl Future<Output = ()>, String> {
    use tokio::signal::unix::{signal, SignalKind};
    let listen = |kind| signal(kind).map_err(|e| format!("signals cannot be heard: {e}"));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

#[cfg(not(unix))]
fn stop_signal() -> Result<impl Future<Output = ()>, String> {
    Ok(async {
        // Without it there is nothing to wait for but the end of the process.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}

fn sign(token: &Token) -> Result<String, String> {
    let secret = match &token.secret_file {
        Some(path) => read_secret(path)?,
        None => secret_of_environment().ok_or(format!("which secret? give --secret-file FILE, or {SECRET}"))?,
    };
    JwtAuthenticator::new().with_secret(&secret)?;
    let expires = SystemTime::now().checked_add(token.ttl).ok_or("--ttl goes beyond the end of time")?;
    let expires = expires.duration_since(SystemTime::UNIX_EPOCH).map_err(|e| e.to_string())?.as_secs();
    let any = token.rooms.iter().any(|room| room == "*");
    let rooms = if any { serde_json::json!("*") } else { serde_json::json!(token.rooms) };
    let mut claims = serde_json::json!({ "sub": token.user, "rooms": rooms, "exp": expires });
    if let Some(audience) = &token.audience {
        claims["aud"] = serde_json::json!(audience);
    }
    if let Some(issuer) = &token.issuer {
        claims["iss"] = serde_json::json!(issuer);
    }
    let key = jsonwebtoken::EncodingKey::from_secret(&secret);
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).map_err(|e| e.to_string())
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Some(Command::Token(token)) => {
            sign(&token).and_then(|token| writeln!(std::io::stdout(), "{token}").map_err(|e| e.to_string()))
        }
        None => {
            let filter = tracing_subscriber::EnvFilter::try_new(&cli.serve.log);
            match filter {
                Ok(filter) => {
                    let colours = std::io::stderr().is_terminal();
                    tracing_subscriber::fmt()
                        .with_env_filter(filter)
                        .with_ansi(colours)
                        .with_writer(std::io::stderr)
                        .init();
                    tokio::runtime::Runtime::new()
                        .map_err(|e| e.to_string())
                        .and_then(|runtime| runtime.block_on(serve(cli.serve)))
                }
                Err(error) => Err(format!("--log: {error}")),
            }
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rtcswarm-server: {error}");
            ExitCode::FAILURE
        }
    }
}
