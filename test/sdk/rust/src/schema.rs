use qdrant_client::Qdrant;
use qdrant_client::qdrant::{
    CountPointsBuilder, CreateAliasBuilder, CreateCollectionBuilder, CreateFieldIndexCollectionBuilder, Distance,
    FieldType, MultiVectorComparator, MultiVectorConfigBuilder, OptimizersConfigDiffBuilder, RenameAliasBuilder,
    SparseVectorParamsBuilder, SparseVectorsConfigBuilder, UpdateCollectionBuilder, VectorParamsBuilder,
    VectorsConfigBuilder,
};
use serde_json::json;

use crate::data::{DIMENSIONS, GHOST, ITEMS, NAMED};
use crate::step::{Kind, step};

/// Removes what an earlier run may have left. It is no step.
pub async fn clear(c: &Qdrant) {
    for name in [ITEMS, NAMED] {
        for _ in 0..20 {
            if let Ok(false) = c.collection_exists(name).await {
                break;
            }
            let _ = c.delete_collection(name).await; // asked again above
        }
    }
}

pub async fn create(c: &Qdrant) {
    let items = || {
        CreateCollectionBuilder::new(ITEMS).vectors_config(VectorParamsBuilder::new(DIMENSIONS, Distance::Cosine))
    };
    step("health check", Kind::Unsafe, async || {
        let r = c.health_check().await?;
        Ok(json!([r.title, r.version]))
    })
    .await;
    step("collection exists: no", Kind::Read, async || Ok(json!(c.collection_exists(ITEMS).await?))).await;
    step("create collection", Kind::Unsafe, async || Ok(json!(c.create_collection(items()).await?.result))).await;
    step("create collection with named vectors", Kind::Unsafe, async || {
        let mut vectors = VectorsConfigBuilder::default();
        vectors.add_named_vector_params("text", VectorParamsBuilder::new(3, Distance::Dot));
        vectors.add_named_vector_params(
            "words",
            VectorParamsBuilder::new(2, Distance::Cosine)
                .multivector_config(MultiVectorConfigBuilder::new(MultiVectorComparator::MaxSim)),
        );
        let mut sparse = SparseVectorsConfigBuilder::default();
        sparse.add_named_vector_params("terms", SparseVectorParamsBuilder::default());
        let request = CreateCollectionBuilder::new(NAMED).vectors_config(vectors).sparse_vectors_config(sparse);
        Ok(json!(c.create_collection(request).await?.result))
    })
    .await;
    step("create collection: exists", Kind::Unsafe, async || Ok(json!(c.create_collection(items()).await?.result))).await;
    step("collection exists: yes", Kind::Read, async || Ok(json!(c.collection_exists(ITEMS).await?))).await;
    step("list collections", Kind::Read, async || {
        let r = c.list_collections().await?;
        Ok(r.collections.into_iter().map(|each| each.name).collect())
    })
    .await;
    step("update collection", Kind::Write, async || {
        let change = OptimizersConfigDiffBuilder::default().indexing_threshold(20_000);
        Ok(json!(c.update_collection(UpdateCollectionBuilder::new(ITEMS).optimizers_config(change)).await?.result))
    })
    .await;
    step("collection info", Kind::Read, async || {
        let config = c.collection_info(ITEMS).await?.result.and_then(|info| info.config);
        Ok(json!(format!("{:?}", config.map(|config| (config.params, config.hnsw_config)))))
    })
    .await;
    for (field, kind) in [
        ("color", FieldType::Keyword),
        ("n", FieldType::Integer),
        ("price", FieldType::Float),
        ("shop.at", FieldType::Geo),
        ("since", FieldType::Datetime),
        ("text", FieldType::Text),
    ] {
        step(&format!("index {field}"), Kind::Write, async || {
            let request = CreateFieldIndexCollectionBuilder::new(ITEMS, field, kind).wait(true);
            Ok(json!(c.create_field_index(request).await?.result.map(|r| r.status)))
        })
        .await;
    }
}

pub async fn aliases(c: &Qdrant) {
    step("create alias", Kind::Unsafe, async || {
        Ok(json!(c.create_alias(CreateAliasBuilder::new(ITEMS, "sdk-alias")).await?.result))
    })
    .await;
    step("count by alias", Kind::Read, async || {
        Ok(json!(c.count(CountPointsBuilder::new("sdk-alias").exact(true)).await?.result.map(|r| r.count)))
    })
    .await;
    step("rename alias", Kind::Unsafe, async || {
        Ok(json!(c.rename_alias(RenameAliasBuilder::new("sdk-alias", "sdk-renamed")).await?.result))
    })
    .await;
    step("list aliases", Kind::Read, async || {
        let list = c.list_aliases().await?.aliases;
        Ok(list.into_iter().map(|each| json!([each.alias_name, each.collection_name])).collect())
    })
    .await;
    step("list aliases of a collection", Kind::Read, async || {
        let list = c.list_collection_aliases(ITEMS).await?.aliases;
        Ok(list.into_iter().map(|each| each.alias_name).collect())
    })
    .await;
    step("delete alias", Kind::Unsafe, async || Ok(json!(c.delete_alias("sdk-renamed").await?.result))).await;
    step("alias of nothing", Kind::Unsafe, async || {
        Ok(json!(c.create_alias(CreateAliasBuilder::new(GHOST, "sdk-alias")).await?.result))
    })
    .await;
}

/// Their names have the time in them.
pub async fn snapshots(c: &Qdrant) {
    step("create snapshot", Kind::Unsafe, async || {
        Ok(json!(c.create_snapshot(NAMED).await?.snapshot_description.is_some()))
    })
    .await;
    step("list snapshots", Kind::Read, async || {
        Ok(json!(!c.list_snapshots(NAMED).await?.snapshot_descriptions.is_empty()))
    })
    .await;
    step("list full snapshots", Kind::Read, async || {
        Ok(json!(c.list_full_snapshots().await?.snapshot_descriptions.len()))
    })
    .await;
}

pub async fn farewell(c: &Qdrant) {
    for name in [ITEMS, NAMED] {
        step(&format!("delete collection {name}"), Kind::Unsafe, async || {
            Ok(json!(c.delete_collection(name).await?.result))
        })
        .await;
    }
    step("delete collection: none", Kind::Unsafe, async || Ok(json!(c.delete_collection(GHOST).await?.result))).await;
}
