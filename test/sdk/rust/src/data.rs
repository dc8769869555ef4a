//! The points of every SDK's scenario, and results as plain data.

use std::collections::BTreeMap;

use qdrant_client::Payload;
use qdrant_client::qdrant::point_id::PointIdOptions;
use qdrant_client::qdrant::{NamedVectors, PointId, PointStruct, RetrievedPoint, ScoredPoint, Value, Vector};
use serde_json::{Value as Json, json};

pub const ITEMS: &str = "sdk-items"; // 10,000 points of one vector
pub const NAMED: &str = "sdk-named"; // three points of several vectors
pub const GHOST: &str = "sdk-ghost"; // never exists
pub const DIMENSIONS: u64 = 32;
pub const POINTS: u64 = 10_000;

pub const SOME_UUID: &str = "0c7b2a52-3c4d-4a53-9a51-25d7a2f8a001";
pub const OTHER_UUID: &str = "0c7b2a52-3c4d-4a53-9a51-25d7a2f8a002";

/// No two vectors are alike, so that no two scores are.
pub fn vector(i: u64) -> Vec<f32> {
    (0..DIMENSIONS)
        .map(|j| ((i * 7919 + j * 104_729 + i * j * 31) % 1_000_003) as f32 / 1_000_003.0)
        .collect()
}

pub fn payload(of: Json) -> Payload {
    Payload::try_from(of).expect("payloads are objects")
}

pub fn point_as(i: u64, id: impl Into<PointId>) -> PointStruct {
    let contents = json!({
        "n": i,
        "color": (["red", "green", "blue"][i as usize % 3]),
        "price": (i * 37 % 1000) as f64 / 8.0,
        "sold": i % 2 == 0,
        "tags": [format!("t{}", i % 5), "all"],
        "shop": {"city": "Zürich", "at": {"lat": 47.0 + (i % 100) as f64 / 100.0, "lon": 8.5}},
        "since": format!("2024-01-{:02}T12:00:00Z", i % 28 + 1),
        "text": format!("thing number {i} of many"),
    });
    PointStruct::new(id, vector(i), payload(contents))
}

pub fn point(i: u64) -> PointStruct {
    point_as(i, i)
}

pub fn books() -> Vec<PointStruct> {
    let first = NamedVectors::default()
        .add_vector("text", Vector::new_dense(vec![1.0, 0.0, 0.5]))
        .add_vector("terms", Vector::new_sparse(vec![1, 7, 42], vec![0.5, 1.5, 0.25]))
        .add_vector("words", Vector::new_multi(vec![vec![1.0, 0.0], vec![0.6, 0.8]]));
    let second = NamedVectors::default()
        .add_vector("text", Vector::new_dense(vec![0.25, 1.0, 0.0]))
        .add_vector("terms", Vector::new_sparse(vec![7, 9], vec![2.0, 1.0]))
        .add_vector("words", Vector::new_multi(vec![vec![0.0, 1.0]]));
    let third = NamedVectors::default().add_vector("text", Vector::new_dense(vec![0.5, 0.5, 0.5]));
    vec![
        PointStruct::new(SOME_UUID, first, payload(json!({"title": "Moby-Dick", "year": 1851}))),
        PointStruct::new(OTHER_UUID, second, payload(json!({"title": "Emma", "year": 1815}))),
        PointStruct::new(3, third, payload(json!({"title": null, "year": 1999}))),
    ]
}

pub fn ids(numbers: &[u64]) -> Vec<PointId> {
    numbers.iter().map(|&n| n.into()).collect()
}

pub fn id_text(id: &Option<PointId>) -> String {
    match id.as_ref().and_then(|id| id.point_id_options.as_ref()) {
        Some(PointIdOptions::Num(n)) => n.to_string(),
        Some(PointIdOptions::Uuid(uuid)) => uuid.clone(),
        None => String::new(),
    }
}

fn contents<'a>(payload: impl IntoIterator<Item = (&'a String, &'a Value)>) -> Json {
    payload.into_iter().map(|(key, value)| (key.clone(), Json::from(value.clone()))).collect::<serde_json::Map<_, _>>().into()
}

/// Without its version, in which a write that had to be repeated counts twice.
pub fn scored(points: &[ScoredPoint]) -> Json {
    let one = |p: &ScoredPoint| {
        json!({
            "id": id_text(&p.id), "score": p.score, "payload": contents(&p.payload),
            "vectors": format!("{:?}", p.vectors), "order": format!("{:?}", p.order_value),
        })
    };
    points.iter().map(one).collect()
}

pub fn retrieved(points: &[RetrievedPoint]) -> Json {
    let one = |p: &RetrievedPoint| {
        use qdrant_client::qdrant::vectors_output::VectorsOptions;
        let vectors = match p.vectors.as_ref().and_then(|v| v.vectors_options.as_ref()) {
            Some(VectorsOptions::Vectors(named)) => format!("{:?}", named.vectors.iter().collect::<BTreeMap<_, _>>()),
            other => format!("{other:?}"),
        };
        json!({
            "id": id_text(&p.id), "payload": contents(&p.payload), "vectors": vectors,
            "order": format!("{:?}", p.order_value),
        })
    };
    points.iter().map(one).collect()
}
