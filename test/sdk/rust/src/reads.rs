use qdrant_client::Qdrant;
use qdrant_client::qdrant::{
    Condition, ContextInputBuilder, CountPointsBuilder, DatetimeRange, Direction, DiscoverInputBuilder, Expression,
    FacetCountsBuilder, Filter, FormulaBuilder, Fusion, GeoPoint, GeoRadius, GetPointsBuilder, OrderByBuilder, PayloadIncludeSelector,
    PrefetchQueryBuilder, Query, QueryBatchPointsBuilder, QueryPointGroupsBuilder, QueryPoints, QueryPointsBuilder, Range,
    RecommendInputBuilder, Sample, ScrollPointsBuilder, SearchMatrixPointsBuilder, SearchParamsBuilder, Timestamp,
    VectorInput, start_from::Value as StartFrom,
};
use serde_json::json;

use crate::data::{GHOST, ITEMS, NAMED, SOME_UUID, id_text, ids, retrieved, scored, vector};
use crate::step::{Kind, step};

async fn query(c: &Qdrant, name: &str, request: QueryPointsBuilder) {
    let request: QueryPoints = request.into();
    step(&format!("query {name}"), Kind::Read, async || Ok(scored(&c.query(request.clone()).await?.result))).await;
}

pub fn near(i: u64) -> Query {
    Query::new_nearest(vector(i))
}

pub async fn queries(c: &Qdrant) {
    let items = || QueryPointsBuilder::new(ITEMS);
    let named = || QueryPointsBuilder::new(NAMED);
    query(c, "nearest", items().query(near(77))).await;
    query(c, "by id", items().query(Query::new_nearest(5)).limit(3)).await;
    let params = SearchParamsBuilder::default().exact(true).hnsw_ef(64);
    let everything = items().query(near(77)).limit(3).offset(1).score_threshold(0.5).params(params);
    query(c, "with everything", everything.with_payload(true).with_vectors(true)).await;
    let filter = Filter {
        must: vec![Condition::range("price", Range { gte: Some(10.0), lt: Some(50.0), ..Default::default() })],
        should: vec![Condition::matches("color", "red".to_string()), Condition::matches("sold", true)],
        must_not: vec![
            Condition::has_id(ids(&[1, 2, 3])),
            Condition::matches("tags", vec!["t0".to_string(), "t1".to_string()]),
        ],
        ..Default::default()
    };
    let fields = PayloadIncludeSelector::new(vec!["n".to_string(), "color".to_string()]);
    query(c, "filtered", items().query(near(77)).filter(filter).with_payload(fields)).await;
    let place = GeoRadius { center: Some(GeoPoint { lat: 47.5, lon: 8.5 }), radius: 10_000.0 };
    let since = Timestamp { seconds: 1_704_844_800, nanos: 0 };
    let filter = Filter::must([
        Condition::geo_radius("shop.at", place),
        Condition::datetime_range("since", DatetimeRange { gte: Some(since), ..Default::default() }),
        Condition::matches_text("text", "number"),
        Filter::min_should(1, [Condition::is_empty("nothing"), Condition::is_null("color")]).into(),
    ]);
    query(c, "filtered by place, time and text", items().query(near(77)).filter(filter)).await;
    query(c, "named vector", named().using("text").query(vec![1.0, 2.0, 3.0])).await;
    let sparse = VectorInput::new_sparse(vec![7, 42], vec![1.0, 1.0]);
    query(c, "sparse vector", named().using("terms").query(Query::new_nearest(sparse))).await;
    let multi = VectorInput::new_multi(vec![vec![1.0, 0.0], vec![0.0, 1.0]]);
    query(c, "multivector", named().using("words").query(Query::new_nearest(multi))).await;
    let recommend = RecommendInputBuilder::default().add_positive(1).add_negative(vector(2)).build();
    query(c, "recommend", items().query(recommend)).await;
    let text = PrefetchQueryBuilder::default().using("text").query(vec![1.0, 3.0, 0.0]).limit(5u64);
    let sparse = VectorInput::new_sparse(vec![7], vec![1.0]);
    let terms = PrefetchQueryBuilder::default().using("terms").query(Query::new_nearest(sparse)).limit(5u64);
    query(c, "fusion", named().add_prefetch(text).add_prefetch(terms).query(Fusion::Rrf)).await;
    let order = OrderByBuilder::new("n").direction(Direction::Desc as i32).build();
    query(c, "order by", items().query(Query::new_order_by(order))).await;
    let context = ContextInputBuilder::default().add_pair(1, 2).build();
    let discover = DiscoverInputBuilder::new(vector(9), context).build();
    query(c, "discover", items().query(discover)).await;
    query(c, "of a collection that is not there", QueryPointsBuilder::new(GHOST).query(near(1))).await;
    query(c, "near a point that is not there", items().query(Query::new_nearest(99_999))).await;
    query(c, "of a vector that is not there", named().using("nope").query(near(1))).await;
}

pub async fn more_queries(c: &Qdrant) {
    let formula = FormulaBuilder::new(Expression::sum_with([Expression::score(), Expression::constant(1.0)]));
    let prefetch = PrefetchQueryBuilder::default().query(near(77));
    query(c, "formula", QueryPointsBuilder::new(ITEMS).add_prefetch(prefetch).query(formula)).await;
    step("query sample", Kind::Read, async || {
        let request = QueryPointsBuilder::new(ITEMS).query(Query::new_sample(Sample::Random)).limit(4);
        Ok(json!(c.query(request).await?.result.len()))
    })
    .await;
    step("query batch", Kind::Read, async || {
        let list: Vec<QueryPoints> = vec![
            QueryPointsBuilder::new(ITEMS).query(near(77)).limit(2).into(),
            QueryPointsBuilder::new(ITEMS).filter(Filter::must([Condition::matches("n", 20)])).into(),
        ];
        let answers = c.query_batch(QueryBatchPointsBuilder::new(ITEMS, list)).await?.result;
        Ok(answers.iter().map(|each| scored(&each.result)).collect())
    })
    .await;
    step("query groups", Kind::Read, async || {
        let request = QueryPointGroupsBuilder::new(ITEMS, "color").query(near(77)).group_size(2u64).limit(3u64);
        let groups = c.query_groups(request).await?.result.unwrap_or_default().groups;
        Ok(groups.iter().map(|each| json!([format!("{:?}", each.id), scored(&each.hits)])).collect())
    })
    .await;
    step("facet", Kind::Read, async || {
        let hits = c.facet(FacetCountsBuilder::new(ITEMS, "color").exact(true)).await?.hits;
        Ok(json!(format!("{hits:?}")))
    })
    .await;
    let few = || {
        let filter = Filter::must([Condition::has_id(ids(&[1, 2, 3]))]);
        SearchMatrixPointsBuilder::new(ITEMS).filter(filter).sample(3).limit(2)
    };
    step("distance matrix, pairs", Kind::Read, async || {
        Ok(json!(format!("{:?}", c.search_matrix_pairs(few()).await?.result)))
    })
    .await;
    step("distance matrix, offsets", Kind::Read, async || {
        Ok(json!(format!("{:?}", c.search_matrix_offsets(few()).await?.result)))
    })
    .await;
}

pub async fn count(c: &Qdrant, name: &str) {
    step(name, Kind::Read, async || {
        Ok(json!(c.count(CountPointsBuilder::new(ITEMS).exact(true)).await?.result.map(|r| r.count)))
    })
    .await;
}

pub async fn scrolls(c: &Qdrant) {
    count(c, "count").await;
    step("count filtered", Kind::Read, async || {
        let filter = Filter::must([Condition::matches("color", "red".to_string())]);
        let request = CountPointsBuilder::new(ITEMS).exact(true).filter(filter);
        Ok(json!(c.count(request).await?.result.map(|r| r.count)))
    })
    .await;
    step("retrieve", Kind::Read, async || {
        let wanted = vec![1.into(), 99_999.into(), SOME_UUID.into()];
        let request = GetPointsBuilder::new(ITEMS, wanted).with_payload(true).with_vectors(true);
        Ok(retrieved(&c.get_points(request).await?.result))
    })
    .await;
    step("scroll to the end", Kind::Read, async || {
        let (mut seen, mut offset) = (Vec::new(), None);
        loop {
            let mut request = ScrollPointsBuilder::new(ITEMS).limit(1000).with_payload(true);
            if let Some(from) = offset {
                request = request.offset(from);
            }
            let page = c.scroll(request).await?;
            seen.extend(page.result.iter().map(|p| id_text(&p.id)));
            offset = page.next_page_offset;
            if offset.is_none() {
                return Ok(json!(seen));
            }
        }
    })
    .await;
    step("scroll ordered", Kind::Read, async || {
        let order = OrderByBuilder::new("n").start_from(StartFrom::Integer(4321));
        Ok(retrieved(&c.scroll(ScrollPointsBuilder::new(ITEMS).limit(5).order_by(order)).await?.result))
    })
    .await;
    step("mistake: invalid request", Kind::Read, async || {
        Ok(retrieved(&c.scroll(ScrollPointsBuilder::new(ITEMS).limit(0)).await?.result))
    })
    .await;
}
