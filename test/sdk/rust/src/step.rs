//! What is the same for every step: making the call, and printing the line that the runner reads.

use std::time::{Duration, Instant};

use qdrant_client::QdrantError;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// What may happen to a step when the wire fails.
#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    /// Must succeed.
    Read,
    /// Idempotent: must succeed.
    Write,
    /// May fail, and is then repeated by the user.
    Unsafe,
}

const MAX_REPEATS: usize = 20;
const REPEAT_PAUSE: Duration = Duration::from_millis(50);
const MAX_RESULT: usize = 300; // characters of a result that are shown

/// A result as plain data.
pub type Outcome = Result<Value, QdrantError>;

/// Makes a call and reports its outcome. An unsafe call that failed because Qdrant was out of reach is made again, as a
/// user would: the steps after it need what it does.
pub async fn step(name: &str, kind: Kind, call: impl AsyncFn() -> Outcome) {
    let mut repeats = Vec::new();
    let start = Instant::now();
    let outcome = loop {
        match call().await {
            Err(error)
                if kind == Kind::Unsafe && describe(&error)["code"] == "Unavailable" && repeats.len() < MAX_REPEATS =>
            {
                repeats.push(describe(&error)["message"].clone());
                tokio::time::sleep(REPEAT_PAUSE).await;
            }
            outcome => break outcome,
        }
    };
    let ms = start.elapsed().as_micros() as f64 / 1000.0;
    let kind = match kind {
        Kind::Read => "read",
        Kind::Write => "write",
        Kind::Unsafe => "unsafe",
    };
    let mut line = json!({"step": name, "kind": kind, "ok": outcome.is_ok(), "repeats": repeats, "ms": ms});
    match outcome {
        Ok(result) => {
            let text = result.to_string(); // with sorted keys
            line["result"] = text.chars().take(MAX_RESULT).collect::<String>().into();
            let digest = Sha256::digest(text.as_bytes());
            line["digest"] = digest[..8].iter().map(|byte| format!("{byte:02x}")).collect::<String>().into();
        }
        Err(error) => line["error"] = describe(&error),
    }
    println!("{line}");
}

fn describe(error: &QdrantError) -> Value {
    let (kind, status) = match error {
        QdrantError::ResponseError { status } => ("ResponseError", status),
        QdrantError::ResourceExhaustedError { status, .. } => ("ResourceExhaustedError", status),
        other => return json!({"type": "other", "code": "", "message": other.to_string()}),
    };
    let code = format!("{:?}", status.code());
    // Who notices first that a call is given up, the client or the server, is a race.
    let message = if code == "Cancelled" || code == "DeadlineExceeded" { "" } else { status.message() };
    json!({"type": kind, "code": code, "message": message})
}
