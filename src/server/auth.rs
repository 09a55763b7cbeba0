//! Who may come in: the server asks an [`Authenticator`] before it upgrades a connection, and there is no way around it.

use crate::hub::{Principal, Rooms};
use axum::http::{HeaderMap, StatusCode};
use jsonwebtoken::{decode, decode_header, Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

/// What is known of who knocks.
#[derive(Debug, Clone, Copy)]
pub struct Knock<'a> {
    /// From `Authorization: Bearer`, the query (`?token=`) or the subprotocol (`token.…`), in this order.
    pub token: Option<&'a str>,
    pub headers: &'a HeaderMap,
    /// The query as it was sent, without the question mark. It may hold the token: not for logs.
    pub query: Option<&'a str>,
    pub remote: SocketAddr,
}

/// Who it is, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    pub principal: Principal,
    /// The session is closed then (close code 4007); the client may come back with a new token.
    pub expires: Option<SystemTime>,
}

/// Why somebody is turned away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// 401 where another token would help, 403 where none would.
    pub status: StatusCode,
    /// A short name in kebab case.
    pub code: &'static str,
    /// For people.
    pub message: String,
}

impl Refusal {
    pub fn unauthorized(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::UNAUTHORIZED, code, message: message.into() }
    }

    pub fn forbidden(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::FORBIDDEN, code, message: message.into() }
    }
}

/// Decides who may come in. Called on the server's runtime: it must not block for long.
pub trait Authenticator: Send + Sync + 'static {
    fn authenticate(&self, knock: Knock<'_>) -> Result<Admission, Refusal>;

    /// Asked once, before the server listens: an error says why this can let nobody in.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

impl<F> Authenticator for F
where
    F: Fn(Knock<'_>) -> Result<Admission, Refusal> + Send + Sync + 'static,
{
    fn authenticate(&self, knock: Knock<'_>) -> Result<Admission, Refusal> {
        self(knock)
    }
}

/// The shortest HS256 secret: 256 bits, as RFC 7518, 3.2 wants it.
pub const MIN_SECRET_BYTES: usize = 32;

/// Clocks differ.
const LEEWAY: Duration = Duration::from_secs(5);

/// JSON Web Tokens (RFC 7519). Claims: `sub` is the user id, `rooms` the rooms (a list of names, or `"*"` for any), `exp` the
/// end; `nbf`, `aud` and `iss` are honoured. Each key has its one algorithm: a token cannot choose another.
#[derive(Default)]
pub struct JwtAuthenticator {
    keys: Vec<(Algorithm, DecodingKey)>,
    audience: Option<String>,
    issuer: Option<String>,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    /// Seconds; RFC 7519, 2 allows a fraction.
    exp: f64,
    rooms: Option<RoomsClaim>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RoomsClaim {
    One(String),
    Many(BTreeSet<String>),
}

impl JwtAuthenticator {
    /// Without a key it lets nobody in; [`super::Server::bind`] refuses it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Accepts HS256 by this secret of [`MIN_SECRET_BYTES`] or more.
    pub fn with_secret(mut self, secret: &[u8]) -> Result<Self, String> {
        if secret.len() < MIN_SECRET_BYTES {
            return Err(format!("the secret has {} bytes, and must have {MIN_SECRET_BYTES} or more", secret.len()));
        }
        self.keys.push((Algorithm::HS256, DecodingKey::from_secret(secret)));
        Ok(self)
    }

    /// Accepts EdDSA or RS256, whichever this public key (PEM) is for.
    pub fn with_public_key(mut self, pem: &[u8]) -> Result<Self, String> {
        if let Ok(key) = DecodingKey::from_ed_pem(pem) {
            self.keys.push((Algorithm::EdDSA, key));
        } else if let Ok(key) = DecodingKey::from_rsa_pem(pem) {
            self.keys.push((Algorithm::RS256, key));
        } else {
            return Err("that is no public key of Ed25519 or RSA in PEM".into());
        }
        Ok(self)
    }

    /// Tokens must be for this audience.
    pub fn with_audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// Tokens must be from this issuer.
    pub fn with_issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    pub fn has_keys(&self) -> bool {
        !self.keys.is_empty()
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY.as_secs();
        validation.validate_nbf = true;
        // The library compares a claim only if the token has it: what is asked for must be required as well.
        let mut required = vec!["exp", "sub"];
        match &self.audience {
            Some(audience) => {
                required.push("aud");
                validation.set_audience(&[audience]);
            }
            None => validation.validate_aud = false,
        }
        if let Some(issuer) = &self.issuer {
            required.push("iss");
            validation.set_issuer(&[issuer]);
        }
        validation.set_required_spec_claims(&required);
        validation
    }
}

impl Authenticator for JwtAuthenticator {
    fn check(&self) -> Result<(), String> {
        if self.keys.is_empty() {
            return Err("there is neither a secret nor a public key for tokens".into());
        }
        Ok(())
    }

    fn authenticate(&self, knock: Knock<'_>) -> Result<Admission, Refusal> {
        use jsonwebtoken::errors::ErrorKind;
        let token = knock.token.ok_or_else(|| Refusal::unauthorized("no-token", "a token is needed"))?;
        let header =
            decode_header(token).map_err(|_| Refusal::unauthorized("bad-token", "that is no JSON Web Token"))?;
        let mut refusal = Refusal::unauthorized("wrong-key", "no key of this server fits the token");
        for (algorithm, key) in self.keys.iter().filter(|(algorithm, _)| *algorithm == header.alg) {
            match decode::<Claims>(token, key, &self.validation(*algorithm)) {
                Ok(decoded) => return admit(decoded.claims),
                Err(error) => match error.kind() {
                    ErrorKind::InvalidSignature => {}
                    ErrorKind::ExpiredSignature => {
                        refusal = expired();
                    }
                    ErrorKind::ImmatureSignature => {
                        refusal = Refusal::unauthorized("not-yet-valid", "the token is not valid yet");
                    }
                    _ => refusal = Refusal::unauthorized("bad-token", format!("the token is of no use: {error}")),
                },
            }
        }
        Err(refusal)
    }
}

fn expired() -> Refusal {
    Refusal::unauthorized("expired", "the token has expired")
}

fn admit(claims: Claims) -> Result<Admission, Refusal> {
    if claims.sub.is_empty() || claims.sub.len() > 256 || claims.sub.contains('\0') {
        return Err(Refusal::forbidden("bad-user", "the token's sub is no user id of 1 to 256 bytes"));
    }
    let rooms = match claims.rooms {
        Some(RoomsClaim::One(any)) if any == "*" => Rooms::Any,
        Some(RoomsClaim::One(room)) => Rooms::Only(BTreeSet::from([room])),
        Some(RoomsClaim::Many(rooms)) => Rooms::Only(rooms),
        None => return Err(Refusal::forbidden("no-rooms", "the token opens no rooms")),
    };
    // An end that no clock here will see is none.
    let lifetime = Duration::try_from_secs_f64(claims.exp).ok().and_then(|exp| exp.checked_add(LEEWAY));
    let expires = lifetime.and_then(|exp| SystemTime::UNIX_EPOCH.checked_add(exp));
    // The decoder compares whole seconds: what it lets pass in the last of them would end as soon as it began.
    if expires.is_some_and(|end| end <= SystemTime::now()) {
        return Err(expired());
    }
    Ok(Admission { principal: Principal { user_id: claims.sub, rooms }, expires })
}
