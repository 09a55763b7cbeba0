//! What a browser gets that comes without an upgrade: the page, if the server was given one, or the door.

use super::auth::Refusal;
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use std::fmt::Write;

/// Says why nobody comes in, and takes another token.
const DOOR: &str = include_str!("door.html");

/// Whether this asks for the page, and not for a session.
pub(super) fn is_visit(method: &Method, uri: &Uri, headers: &HeaderMap) -> bool {
    (method == Method::GET || method == Method::HEAD) && uri.path() == "/" && !headers.contains_key(header::UPGRADE)
}

pub(super) fn page(html: &str) -> Response {
    serve(StatusCode::OK, html)
}

/// For people; None for programs, which take their refusals in JSON.
pub(super) fn door(refusal: &Refusal, headers: &HeaderMap) -> Option<Response> {
    let accept = headers.get(header::ACCEPT)?.to_str().ok()?;
    accept.contains("text/html").then(|| serve(refusal.status, &DOOR.replace("{{message}}", &escape(&refusal.message))))
}

/// Inline scripts and styles run by this response's nonce, which they say as `{{nonce}}`; nothing else is loaded from anywhere.
fn serve(status: StatusCode, html: &str) -> Response {
    let nonce = rand::random::<[u8; 16]>().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src data:; connect-src 'self'; \
         base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    );
    let mut response = (status, html.replace("{{nonce}}", &nonce)).into_response();
    let fixed = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // The address has the token in it, and the page may show whom it is for.
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    for (name, value) in fixed {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    if let Ok(policy) = HeaderValue::try_from(policy) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
