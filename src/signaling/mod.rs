//! stub
#[derive(Debug, Clone)]
pub struct SignalingConfig {
    pub url: String,
    pub token: String,
    pub ca_file: Option<std::path::PathBuf>,
}
impl SignalingConfig {
    pub fn new(url: impl Into<String>, token: impl Into<String>) -> Self {
        Self { url: url.into(), token: token.into(), ca_file: None }
    }
}
