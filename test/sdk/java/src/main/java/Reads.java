import static io.qdrant.client.ConditionFactory.datetimeRange;
import static io.qdrant.client.ConditionFactory.filter;
import static io.qdrant.client.ConditionFactory.geoRadius;
import static io.qdrant.client.ConditionFactory.hasId;
import static io.qdrant.client.ConditionFactory.isEmpty;
import static io.qdrant.client.ConditionFactory.isNull;
import static io.qdrant.client.ConditionFactory.match;
import static io.qdrant.client.ConditionFactory.matchKeyword;
import static io.qdrant.client.ConditionFactory.matchKeywords;
import static io.qdrant.client.ConditionFactory.matchText;
import static io.qdrant.client.ConditionFactory.range;
import static io.qdrant.client.PointIdFactory.id;
import static io.qdrant.client.QueryFactory.discover;
import static io.qdrant.client.QueryFactory.formula;
import static io.qdrant.client.QueryFactory.fusion;
import static io.qdrant.client.QueryFactory.nearest;
import static io.qdrant.client.QueryFactory.orderBy;
import static io.qdrant.client.QueryFactory.recommend;
import static io.qdrant.client.QueryFactory.sample;
import static io.qdrant.client.VectorInputFactory.vectorInput;

import com.google.protobuf.Timestamp;
import io.qdrant.client.ExpressionFactory;
import io.qdrant.client.QdrantClient;
import io.qdrant.client.WithPayloadSelectorFactory;
import io.qdrant.client.WithVectorsSelectorFactory;
import io.qdrant.client.grpc.Common.DatetimeRange;
import io.qdrant.client.grpc.Common.Filter;
import io.qdrant.client.grpc.Common.MinShould;
import io.qdrant.client.grpc.Common.PointId;
import io.qdrant.client.grpc.Common.Range;
import io.qdrant.client.grpc.Points.ContextInput;
import io.qdrant.client.grpc.Points.ContextInputPair;
import io.qdrant.client.grpc.Points.Direction;
import io.qdrant.client.grpc.Points.DiscoverInput;
import io.qdrant.client.grpc.Points.FacetCounts;
import io.qdrant.client.grpc.Points.Formula;
import io.qdrant.client.grpc.Points.Fusion;
import io.qdrant.client.grpc.Points.OrderBy;
import io.qdrant.client.grpc.Points.PrefetchQuery;
import io.qdrant.client.grpc.Points.Query;
import io.qdrant.client.grpc.Points.QueryPointGroups;
import io.qdrant.client.grpc.Points.QueryPoints;
import io.qdrant.client.grpc.Points.RecommendInput;
import io.qdrant.client.grpc.Points.Sample;
import io.qdrant.client.grpc.Points.ScrollPoints;
import io.qdrant.client.grpc.Points.ScrollResponse;
import io.qdrant.client.grpc.Points.SearchMatrixPoints;
import io.qdrant.client.grpc.Points.SearchParams;
import io.qdrant.client.grpc.Points.StartFrom;
import io.qdrant.client.grpc.Points.SumExpression;
import java.util.ArrayList;
import java.util.List;

/** The part of the scenario that changes nothing. */
final class Reads {
  private final QdrantClient client;

  Reads(QdrantClient client) {
    this.client = client;
  }

  void run() {
    queries();
    queriesWithFilters();
    queriesOfNamedVectors();
    moreQueries();
    scrolls();
  }

  static QueryPoints.Builder items(Query query) {
    return QueryPoints.newBuilder().setCollectionName(Data.ITEMS).setQuery(query);
  }

  static Query near(int i) {
    return nearest(Data.numbers(i));
  }

  private static QueryPoints.Builder named(String using, Query query) {
    return QueryPoints.newBuilder().setCollectionName(Data.NAMED).setUsing(using).setQuery(query);
  }

  private static void read(String name, java.util.concurrent.Callable<?> call) {
    Step.step(name, Step.Kind.READ, call);
  }

  private void query(String name, QueryPoints.Builder request) {
    read("query " + name, () -> client.queryAsync(request.build()).get());
  }

  private void queries() {
    query("nearest", items(near(77)));
    query("by id", items(nearest(id(5))).setLimit(3));
    query("with everything", items(near(77)).setLimit(3).setOffset(1).setScoreThreshold(0.5f)
        .setParams(SearchParams.newBuilder().setExact(true).setHnswEf(64))
        .setWithPayload(WithPayloadSelectorFactory.enable(true))
        .setWithVectors(WithVectorsSelectorFactory.enable(true)));
    query("recommend", items(recommend(RecommendInput.newBuilder()
        .addPositive(vectorInput(1)).addNegative(vectorInput(Data.numbers(2))).build())));
    query("order by", items(orderBy(OrderBy.newBuilder().setKey("n").setDirection(Direction.Desc).build())));
    query("discover", items(discover(DiscoverInput.newBuilder()
        .setTarget(vectorInput(Data.numbers(9)))
        .setContext(ContextInput.newBuilder().addPairs(
            ContextInputPair.newBuilder().setPositive(vectorInput(1)).setNegative(vectorInput(2))))
        .build())));
    query("formula", items(formula(Formula.newBuilder().setExpression(ExpressionFactory.sum(SumExpression.newBuilder()
        .addSum(ExpressionFactory.variable("$score")).addSum(ExpressionFactory.constant(1)).build())).build()))
        .addPrefetch(PrefetchQuery.newBuilder().setQuery(near(77))));
    read("query sample", () -> client.queryAsync(items(sample(Sample.Random)).setLimit(4).build()).get().size());
    query("of a collection that is not there", items(near(1)).setCollectionName(Data.GHOST));
    query("near a point that is not there", items(nearest(id(99_999))));
  }

  private void queriesWithFilters() {
    query("filtered", items(near(77))
        .setWithPayload(WithPayloadSelectorFactory.include(List.of("n", "color")))
        .setFilter(Filter.newBuilder()
            .addMust(range("price", Range.newBuilder().setGte(10).setLt(50).build()))
            .addShould(matchKeyword("color", "red"))
            .addShould(match("sold", true))
            .addMustNot(hasId(Data.ids(1, 2, 3)))
            .addMustNot(matchKeywords("tags", List.of("t0", "t1")))));
    query("filtered by place, time and text", items(near(77)).setFilter(Data.must(
        geoRadius("shop.at", 47.5, 8.5, 10_000),
        datetimeRange("since", DatetimeRange.newBuilder().setGte(Timestamp.newBuilder().setSeconds(1704844800)).build()),
        matchText("text", "number"),
        filter(Filter.newBuilder().setMinShould(MinShould.newBuilder()
            .setMinCount(1).addConditions(isEmpty("nothing")).addConditions(isNull("color"))).build()))));
  }

  private void queriesOfNamedVectors() {
    query("named vector", named("text", nearest(1, 2, 3)));
    query("sparse vector", named("terms", nearest(List.of(1f, 1f), List.of(7, 42))));
    query("multivector", named("words", nearest(new float[][] {{1, 0}, {0, 1}})));
    query("fusion", QueryPoints.newBuilder().setCollectionName(Data.NAMED)
        .addPrefetch(PrefetchQuery.newBuilder().setUsing("text").setQuery(nearest(1, 3, 0)).setLimit(5))
        .addPrefetch(PrefetchQuery.newBuilder().setUsing("terms").setQuery(nearest(List.of(1f), List.of(7))).setLimit(5))
        .setQuery(fusion(Fusion.RRF)));
    query("of a vector that is not there", named("nope", near(1)));
  }

  private void moreQueries() {
    List<QueryPoints> batch = List.of(
        items(near(77)).setLimit(2).build(),
        QueryPoints.newBuilder().setCollectionName(Data.ITEMS).setFilter(Data.must(match("n", 20))).build());
    read("query batch", () -> client.queryBatchAsync(Data.ITEMS, batch).get());
    QueryPointGroups groups = QueryPointGroups.newBuilder().setCollectionName(Data.ITEMS)
        .setQuery(near(77)).setGroupBy("color").setGroupSize(2).setLimit(3).build();
    read("query groups", () -> client.queryGroupsAsync(groups).get());
    FacetCounts facet = FacetCounts.newBuilder()
        .setCollectionName(Data.ITEMS).setKey("color").setExact(true).build();
    read("facet", () -> client.facetAsync(facet).get());
    SearchMatrixPoints few = SearchMatrixPoints.newBuilder().setCollectionName(Data.ITEMS)
        .setSample(3).setLimit(2).setFilter(Data.must(hasId(Data.ids(1, 2, 3)))).build();
    read("distance matrix, pairs", () -> client.searchMatrixPairsAsync(few).get());
    read("distance matrix, offsets", () -> client.searchMatrixOffsetsAsync(few).get());
  }

  private void scrolls() {
    read("count", () -> client.countAsync(Data.ITEMS, null, true).get());
    read("count filtered", () -> client.countAsync(Data.ITEMS, Data.must(matchKeyword("color", "red")), true).get());
    read("retrieve", () -> client.retrieveAsync(
        Data.ITEMS, List.of(id(1), id(99_999), id(Data.SOME_UUID)), true, true, null).get());
    read("scroll to the end", () -> {
      List<PointId> seen = new ArrayList<>();
      ScrollPoints.Builder request = ScrollPoints.newBuilder().setCollectionName(Data.ITEMS)
          .setLimit(1000).setWithPayload(WithPayloadSelectorFactory.enable(true));
      while (true) {
        ScrollResponse page = client.scrollAsync(request.build()).get();
        page.getResultList().forEach(point -> seen.add(point.getId()));
        if (!page.hasNextPageOffset()) {
          return seen;
        }
        request.setOffset(page.getNextPageOffset());
      }
    });
    OrderBy order = OrderBy.newBuilder().setKey("n").setStartFrom(StartFrom.newBuilder().setInteger(4321)).build();
    read("scroll ordered", () -> client.scrollAsync(
        ScrollPoints.newBuilder().setCollectionName(Data.ITEMS).setLimit(5).setOrderBy(order).build())
        .get().getResultList());
  }
}
