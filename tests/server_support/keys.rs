//! Keys and tokens of the tests. Every key is made when the test runs.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{json, Map, Value};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

pub const SECRET: &[u8] = b"a secret of the tests, long enough for HS256";

/// `{"alg":"none","typ":"JWT"}` in base64url.
const HEADER_NONE: &str = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";

pub fn unix_now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

/// The claims of a token.
#[derive(Clone)]
pub struct Claims(Map<String, Value>);

impl Claims {
    /// Good for an hour.
    pub fn new(user_id: &str, rooms: &[&str]) -> Self {
        Self(Map::new()).with("sub", json!(user_id)).with("rooms", json!(rooms)).with("exp", json!(unix_now() + 3600))
    }

    pub fn with(mut self, claim: &str, value: Value) -> Self {
        self.0.insert(claim.into(), value);
        self
    }

    pub fn without(mut self, claim: &str) -> Self {
        self.0.remove(claim);
        self
    }

    pub fn hs256(&self, secret: &[u8]) -> String {
        self.sign(Algorithm::HS256, &EncodingKey::from_secret(secret))
    }

    pub fn sign(&self, algorithm: Algorithm, key: &EncodingKey) -> String {
        jsonwebtoken::encode(&Header::new(algorithm), &self.0, key).unwrap()
    }

    /// A token that says that it needs no signature.
    pub fn unsigned(&self) -> String {
        let signed = self.hs256(SECRET);
        let payload = signed.split('.').nth(1).unwrap();
        format!("{HEADER_NONE}.{payload}.")
    }
}

/// A token that opens `room` to `user_id` for an hour.
pub fn token(user_id: &str, room: &str) -> String {
    Claims::new(user_id, &[room]).hs256(SECRET)
}

/// A private key, and the public one as PEM.
pub struct KeyPair {
    pub algorithm: Algorithm,
    pub private: EncodingKey,
    pub public_pem: String,
}

impl KeyPair {
    pub fn ed25519() -> Self {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        Self {
            algorithm: Algorithm::EdDSA,
            private: EncodingKey::from_ed_pem(pair.serialize_pem().as_bytes()).unwrap(),
            public_pem: pair.public_key_pem(),
        }
    }

    /// ring makes no RSA keys, so OpenSSL does.
    pub fn rsa() -> Self {
        let private_pem = openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"], b"");
        Self {
            algorithm: Algorithm::RS256,
            private: EncodingKey::from_rsa_pem(&private_pem).unwrap(),
            public_pem: String::from_utf8(openssl(&["pkey", "-pubout"], &private_pem)).unwrap(),
        }
    }

    pub fn sign(&self, claims: &Claims) -> String {
        claims.sign(self.algorithm, &self.private)
    }
}

fn openssl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    use std::io::Write;
    use std::process::Stdio;
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the openssl command, which the tests make RSA keys with");
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "openssl {arguments:?}");
    output.stdout
}

/// A certificate for `localhost` and 127.0.0.1 with its own authority.
pub struct TlsPems {
    pub ca: String,
    pub certificate: String,
    pub key: String,
}

impl TlsPems {
    pub fn new() -> Self {
        let mut ca = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
        ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        ca.distinguished_name.push(rcgen::DnType::CommonName, "rtcswarm tests");
        let ca_key = rcgen::KeyPair::generate().unwrap();
        let ca_certificate = ca.self_signed(&ca_key).unwrap();
        let issuer = rcgen::Issuer::new(ca, ca_key);
        let key = rcgen::KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate = rcgen::CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
        Self { ca: ca_certificate.pem(), certificate: certificate.pem(), key: key.serialize_pem() }
    }
}
