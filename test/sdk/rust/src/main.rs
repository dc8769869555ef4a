//! The scenario of the Rust SDK, written as one of its users would write it. The runner in test/sdk starts it with the
//! address in SDK_TARGET and reads a JSON line for each step from its standard output.

mod data;
mod reads;
mod schema;
mod step;
mod trouble;
mod writes;

use std::env;
use std::time::Duration;

use qdrant_client::Qdrant;
use serde_json::json;

#[tokio::main]
async fn main() {
    let target = env::var("SDK_TARGET").expect("SDK_TARGET");
    let idle = env::var("SDK_IDLE_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(2.0);
    let url = format!("http://{target}");
    println!("{}", json!({"sdk": "qdrant-client", "version": "1.20.0", "runtime": "Rust"}));
    let client = Qdrant::from_url(&url).build().expect("a client");
    if env::var("SDK_MODE").is_ok_and(|mode| mode == "attempts") {
        trouble::attempts(&client).await;
        return;
    }
    schema::clear(&client).await;
    schema::create(&client).await;
    writes::load(&client).await;
    reads::queries(&client).await;
    reads::more_queries(&client).await;
    reads::scrolls(&client).await;
    writes::payloads(&client).await;
    writes::vectors(&client).await;
    writes::batches(&client).await;
    schema::aliases(&client).await;
    schema::snapshots(&client).await;
    trouble::mistakes(&client).await;
    trouble::parallel(&client).await;
    trouble::patience(&client, &url, Duration::from_secs_f64(idle)).await;
    schema::farewell(&client).await;
}
