use qdrant_client::qdrant::points_update_operation::{self as update, Operation};
use qdrant_client::qdrant::{
    ClearPayloadPointsBuilder, Condition, DeleteFieldIndexCollectionBuilder, DeletePayloadPointsBuilder,
    DeletePointVectorsBuilder, DeletePointsBuilder, Filter, GetPointsBuilder, NamedVectors, PointStruct, PointVectors,
    PointsIdsList, PointsOperationResponse, Range, ScrollPointsBuilder, SetPayloadPointsBuilder, UpdateBatchPointsBuilder,
    UpdatePointVectorsBuilder, UpsertPointsBuilder, Vector,
};
use qdrant_client::{Qdrant, QdrantError};
use serde_json::json;

use crate::data::{ITEMS, NAMED, OTHER_UUID, POINTS, SOME_UUID, books, ids, payload, point, point_as, retrieved};
use crate::reads::count;
use crate::step::{Kind, Outcome, step};

/// Without the operation's number: a repeated write has another.
pub fn status(response: Result<PointsOperationResponse, QdrantError>) -> Outcome {
    Ok(json!(response?.result.map(|r| r.status)))
}

pub fn upsert(collection: &str, points: Vec<PointStruct>) -> UpsertPointsBuilder {
    UpsertPointsBuilder::new(collection, points).wait(true)
}

fn selected(numbers: &[u64]) -> PointsIdsList {
    PointsIdsList { ids: ids(numbers) }
}

pub async fn load(c: &Qdrant) {
    step("upsert 10,000 points", Kind::Write, async || {
        let all: Vec<_> = (0..POINTS).map(point).collect();
        status(c.upsert_points_chunked(upsert(ITEMS, all), 100).await)
    })
    .await;
    step("upsert a UUID", Kind::Write, async || {
        status(c.upsert_points(upsert(ITEMS, vec![point_as(10_001, SOME_UUID)])).await)
    })
    .await;
    step("upsert named vectors", Kind::Write, async || status(c.upsert_points(upsert(NAMED, books())).await)).await;
    step("upsert without waiting", Kind::Write, async || {
        status(c.upsert_points(UpsertPointsBuilder::new(ITEMS, vec![point(1)])).await)
    })
    .await;
}

pub async fn payloads(c: &Qdrant) {
    let set = |to| SetPayloadPointsBuilder::new(ITEMS, payload(to)).wait(true);
    step("set payload", Kind::Write, async || {
        status(c.set_payload(set(json!({"sale": true})).points_selector(selected(&[1, 2]))).await)
    })
    .await;
    step("set payload by filter", Kind::Unsafe, async || {
        let seven = Filter::must([Condition::matches("n", 7)]);
        status(c.set_payload(set(json!({"lucky": "yes"})).points_selector(seven)).await)
    })
    .await;
    step("overwrite payload", Kind::Write, async || {
        let request = set(json!({"color": "weiß", "n": 3})).points_selector(selected(&[3]));
        status(c.overwrite_payload(request).await)
    })
    .await;
    step("delete payload", Kind::Write, async || {
        let keys = vec!["price".to_string(), "text".to_string()];
        let request = DeletePayloadPointsBuilder::new(ITEMS, keys).points_selector(selected(&[4])).wait(true);
        status(c.delete_payload(request).await)
    })
    .await;
    step("clear payload", Kind::Write, async || {
        status(c.clear_payload(ClearPayloadPointsBuilder::new(ITEMS).points(selected(&[5])).wait(true)).await)
    })
    .await;
    step("payloads after edits", Kind::Read, async || {
        let request = GetPointsBuilder::new(ITEMS, ids(&[1, 2, 3, 4, 5, 7])).with_payload(true);
        Ok(retrieved(&c.get_points(request).await?.result))
    })
    .await;
}

pub async fn vectors(c: &Qdrant) {
    step("update vectors", Kind::Write, async || {
        let terms = NamedVectors::default().add_vector("terms", Vector::new_sparse(vec![3], vec![1.0]));
        let change = vec![PointVectors { id: Some(3.into()), vectors: Some(terms.into()) }];
        status(c.update_vectors(UpdatePointVectorsBuilder::new(NAMED, change).wait(true)).await)
    })
    .await;
    step("delete vectors", Kind::Write, async || {
        let request = DeletePointVectorsBuilder::new(NAMED)
            .points_selector(PointsIdsList { ids: vec![OTHER_UUID.into()] })
            .vectors(vec!["words".to_string()])
            .wait(true);
        status(c.delete_vectors(request).await)
    })
    .await;
    step("vectors after edits", Kind::Read, async || {
        Ok(retrieved(&c.scroll(ScrollPointsBuilder::new(NAMED).with_vectors(true)).await?.result))
    })
    .await;
}

pub async fn batches(c: &Qdrant) {
    // Unsafe, because it deletes beside other changes.
    step("update batch", Kind::Unsafe, async || {
        let black = update::SetPayload {
            payload: payload(json!({"color": "black"})).into(),
            points_selector: Some(ids(&[20_000]).into()),
            ..Default::default()
        };
        let operations: Vec<_> = [
            Operation::Upsert(update::PointStructList { points: vec![point(20_000)], ..Default::default() }),
            Operation::SetPayload(black),
            Operation::DeletePoints(update::DeletePoints { points: Some(ids(&[10]).into()), ..Default::default() }),
        ]
        .map(|operation| qdrant_client::qdrant::PointsUpdateOperation { operation: Some(operation) })
        .into();
        let results = c.update_points_batch(UpdateBatchPointsBuilder::new(ITEMS, operations).wait(true)).await?.result;
        Ok(results.iter().map(|each| each.status).collect())
    })
    .await;
    step("delete by ids", Kind::Write, async || {
        status(c.delete_points(DeletePointsBuilder::new(ITEMS).points(selected(&[11, 12, 99_999])).wait(true)).await)
    })
    .await;
    step("delete by filter", Kind::Unsafe, async || {
        let range = Range { gte: Some(9000.0), lt: Some(9100.0), ..Default::default() };
        let filter = Filter::must([Condition::range("n", range)]);
        status(c.delete_points(DeletePointsBuilder::new(ITEMS).points(filter).wait(true)).await)
    })
    .await;
    step("delete index", Kind::Write, async || {
        status(c.delete_field_index(DeleteFieldIndexCollectionBuilder::new(ITEMS, "since").wait(true)).await)
    })
    .await;
    count(c, "count after deletes").await;
}
