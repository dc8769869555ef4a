use std::time::Duration;

use futures::future::try_join_all;
use qdrant_client::{Qdrant, QdrantError};
use qdrant_client::qdrant::{
    CreateCollectionBuilder, Distance, GetPointsBuilder, PointStruct, QueryBatchPointsBuilder, QueryPoints,
    QueryPointsBuilder, SearchParamsBuilder, SetPayloadPointsBuilder, UpsertPointsBuilder, VectorParamsBuilder,
};
use serde_json::json;

use crate::data::{GHOST, ITEMS, id_text, ids, payload, point, retrieved, scored};
use crate::reads::{count, near};
use crate::step::{Kind, step};
use crate::writes::{status, upsert};

pub async fn mistakes(c: &Qdrant) {
    step("mistake: wrong dimension", Kind::Write, async || {
        let short = PointStruct::new(1, vec![1.0, 2.0], payload(json!({})));
        status(c.upsert_points(upsert(ITEMS, vec![short])).await)
    })
    .await;
    step("mistake: upsert nowhere", Kind::Write, async || {
        status(c.upsert_points(upsert(GHOST, vec![point(1)])).await)
    })
    .await;
    // The sidecar stores, and repeats, requests up to 4 MiB.
    step("upsert 6 MiB in one point", Kind::Unsafe, async || {
        let mut large = point(30_000);
        large.payload.insert("large".into(), "0123456789abcdef".repeat(6 << 16).into());
        status(c.upsert_points(upsert(ITEMS, vec![large])).await)
    })
    .await;
    step("read 6 MiB in one point", Kind::Read, async || {
        let request = GetPointsBuilder::new(ITEMS, ids(&[30_000])).with_payload(true);
        Ok(retrieved(&c.get_points(request).await?.result))
    })
    .await;
}

/// 16 tasks share the client.
pub async fn parallel(c: &Qdrant) {
    step("parallel reads", Kind::Read, async || {
        let work = (0..16).map(async |worker| {
            let mut last = String::new();
            for i in 0..10 {
                let answer = c.query(QueryPointsBuilder::new(ITEMS).query(near(worker * 10 + i))).await?;
                last = id_text(&answer.result[0].id);
            }
            Ok::<_, QdrantError>(last)
        });
        Ok(json!(try_join_all(work).await?))
    })
    .await;
    step("parallel writes", Kind::Write, async || {
        let work = (0..16).map(async |worker| {
            let points = (0..10).map(|i| point(40_000 + worker * 10 + i)).collect();
            status(c.upsert_points(upsert(ITEMS, points)).await)
        });
        Ok(json!(try_join_all(work).await?))
    })
    .await;
    count(c, "count after parallel writes").await;
}

/// A pause, and calls that are given up.
pub async fn patience(c: &Qdrant, url: &str, idle: Duration) {
    step("query after a pause", Kind::Read, async || {
        tokio::time::sleep(idle).await;
        Ok(scored(&c.query(QueryPointsBuilder::new(ITEMS).query(near(3))).await?.result))
    })
    .await;
    let exact = SearchParamsBuilder::default().exact(true);
    let long = |_| -> Vec<QueryPoints> {
        (0..300).map(|i| QueryPointsBuilder::new(ITEMS).query(near(i)).params(exact.clone()).into()).collect()
    };
    let brief = Duration::from_millis(30);
    let hasty = Qdrant::from_url(url).timeout(brief).build().expect("a client");
    step("timeout", Kind::Read, async || {
        Ok(json!(hasty.query_batch(QueryBatchPointsBuilder::new(ITEMS, long(()))).await?.result.len()))
    })
    .await;
    step("cancel", Kind::Read, async || {
        // A future that is dropped is a call that is cancelled.
        let call = c.query_batch(QueryBatchPointsBuilder::new(ITEMS, long(())));
        match tokio::time::timeout(brief, call).await {
            Ok(answer) => Ok(json!(answer?.result.len())),
            Err(_) => Ok(json!("dropped")),
        }
    })
    .await;
    count(c, "count after giving up").await;
}

/// One call of each kind, of different methods, for a runner that counts what reaches Qdrant.
pub async fn attempts(c: &Qdrant) {
    step("Query", Kind::Read, async || {
        Ok(scored(&c.query(QueryPointsBuilder::new(ITEMS).query(near(1))).await?.result))
    })
    .await;
    step("SetPayload", Kind::Write, async || {
        let request = SetPayloadPointsBuilder::new(ITEMS, payload(json!({"a": 1})));
        status(c.set_payload(request.points_selector(ids(&[1]))).await)
    })
    .await;
    step("Create", Kind::Read, async || {
        let request = CreateCollectionBuilder::new(ITEMS).vectors_config(VectorParamsBuilder::new(2, Distance::Dot));
        Ok(json!(c.create_collection(request).await?.result))
    })
    .await;
    step("Upsert, chunked", Kind::Write, async || {
        status(c.upsert_points_chunked(UpsertPointsBuilder::new(ITEMS, vec![point(1)]), 10).await)
    })
    .await;
}
