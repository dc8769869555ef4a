import static io.qdrant.client.ConditionFactory.match;
import static io.qdrant.client.ConditionFactory.range;
import static io.qdrant.client.PointIdFactory.id;
import static io.qdrant.client.ValueFactory.value;
import static io.qdrant.client.VectorFactory.vector;
import static io.qdrant.client.VectorsFactory.namedVectors;
import static io.qdrant.client.VectorsFactory.vectors;

import io.qdrant.client.QdrantClient;
import io.qdrant.client.QdrantGrpcClient;
import io.qdrant.client.grpc.Collections.AliasOperations;
import io.qdrant.client.grpc.Collections.CreateAlias;
import io.qdrant.client.grpc.Collections.CreateCollection;
import io.qdrant.client.grpc.Collections.DeleteAlias;
import io.qdrant.client.grpc.Collections.Distance;
import io.qdrant.client.grpc.Collections.MultiVectorComparator;
import io.qdrant.client.grpc.Collections.MultiVectorConfig;
import io.qdrant.client.grpc.Collections.OptimizersConfigDiff;
import io.qdrant.client.grpc.Collections.PayloadSchemaType;
import io.qdrant.client.grpc.Collections.SparseVectorConfig;
import io.qdrant.client.grpc.Collections.SparseVectorParams;
import io.qdrant.client.grpc.Collections.UpdateCollection;
import io.qdrant.client.grpc.Collections.VectorParams;
import io.qdrant.client.grpc.Collections.VectorParamsMap;
import io.qdrant.client.grpc.Collections.VectorsConfig;
import io.qdrant.client.grpc.Common.Range;
import io.qdrant.client.grpc.Points.PointStruct;
import io.qdrant.client.grpc.Points.PointVectors;
import io.qdrant.client.grpc.Points.PointsUpdateOperation;
import io.qdrant.client.grpc.Points.ScrollPoints;
import io.qdrant.client.grpc.Points.UpsertPoints;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The scenario of the Java SDK, written as one of its users would write it. The runner in test/sdk starts it with the
 * address in SDK_TARGET and reads a JSON line for each step from its standard output.
 */
final class Scenario {
  private final QdrantClient client;

  private Scenario(QdrantClient client) {
    this.client = client;
  }

  public static void main(String[] args) throws Exception {
    String[] target = System.getenv("SDK_TARGET").split(":");
    double idle = Double.parseDouble(System.getenv().getOrDefault("SDK_IDLE_SECONDS", "2"));
    String runtime = "Java " + Runtime.version().feature();
    System.out.println("{\"sdk\":\"io.qdrant:client\",\"version\":\"1.18.3\",\"runtime\":" + Step.json(runtime) + "}");
    try (QdrantClient client =
        new QdrantClient(QdrantGrpcClient.newBuilder(target[0], Integer.parseInt(target[1]), false).build())) {
      Scenario scenario = new Scenario(client);
      if ("attempts".equals(System.getenv("SDK_MODE"))) {
        scenario.attempts();
        return;
      }
      scenario.clear();
      scenario.schema();
      scenario.load();
      new Reads(client).run();
      scenario.payloads();
      scenario.vectorEdits();
      scenario.batches();
      scenario.aliases();
      scenario.snapshots();
      scenario.mistakes();
      new Trouble(client).run(idle);
      scenario.farewell();
    }
  }

  private static void read(String name, java.util.concurrent.Callable<?> call) {
    Step.step(name, Step.Kind.READ, call);
  }

  private static void write(String name, java.util.concurrent.Callable<?> call) {
    Step.step(name, Step.Kind.WRITE, call);
  }

  private static void unsafe(String name, java.util.concurrent.Callable<?> call) {
    Step.step(name, Step.Kind.UNSAFE, call);
  }

  /** Removes what an earlier run may have left. It is no step. */
  private void clear() {
    for (String name : List.of(Data.ITEMS, Data.NAMED)) {
      for (int i = 0; i < 20; i++) {
        try {
          if (!client.collectionExistsAsync(name).get()) {
            break;
          }
          client.deleteCollectionAsync(name).get();
        } catch (Exception e) {
          // asked again above
        }
      }
    }
  }

  private static VectorParams params(long size, Distance distance) {
    return VectorParams.newBuilder().setSize(size).setDistance(distance).build();
  }

  private void schema() {
    VectorParams items = params(Data.DIMENSIONS, Distance.Cosine);
    unsafe("health check", () -> client.healthCheckAsync().get());
    read("collection exists: no", () -> client.collectionExistsAsync(Data.ITEMS).get());
    unsafe("create collection", () -> client.createCollectionAsync(Data.ITEMS, items).get().getResult());
    VectorParams words = params(2, Distance.Cosine).toBuilder()
        .setMultivectorConfig(MultiVectorConfig.newBuilder().setComparator(MultiVectorComparator.MaxSim))
        .build();
    CreateCollection named = CreateCollection.newBuilder()
        .setCollectionName(Data.NAMED)
        .setVectorsConfig(VectorsConfig.newBuilder().setParamsMap(
            VectorParamsMap.newBuilder().putMap("text", params(3, Distance.Dot)).putMap("words", words)))
        .setSparseVectorsConfig(SparseVectorConfig.newBuilder().putMap("terms", SparseVectorParams.getDefaultInstance()))
        .build();
    unsafe("create collection with named vectors", () -> client.createCollectionAsync(named).get().getResult());
    unsafe("create collection: exists", () -> client.createCollectionAsync(Data.ITEMS, items).get().getResult());
    read("collection exists: yes", () -> client.collectionExistsAsync(Data.ITEMS).get());
    read("list collections", () -> client.listCollectionsAsync().get());
    UpdateCollection update = UpdateCollection.newBuilder()
        .setCollectionName(Data.ITEMS)
        .setOptimizersConfig(OptimizersConfigDiff.newBuilder().setIndexingThreshold(20_000))
        .build();
    write("update collection", () -> client.updateCollectionAsync(update).get().getResult());
    read("collection info", () -> client.getCollectionInfoAsync(Data.NAMED).get().getConfig());
    Map<String, PayloadSchemaType> indexes = new LinkedHashMap<>();
    indexes.put("color", PayloadSchemaType.Keyword);
    indexes.put("n", PayloadSchemaType.Integer);
    indexes.put("price", PayloadSchemaType.Float);
    indexes.put("shop.at", PayloadSchemaType.Geo);
    indexes.put("since", PayloadSchemaType.Datetime);
    indexes.put("text", PayloadSchemaType.Text);
    indexes.forEach((field, type) -> write("index " + field, () ->
        client.createPayloadIndexAsync(Data.ITEMS, field, type, null, true, null, null).get().getStatus()));
  }

  private void load() {
    int batch = 200;
    write("upsert 10,000 points", () -> {
      List<Object> statuses = new ArrayList<>();
      for (int first = 0; first < Data.POINTS; first += batch) {
        List<PointStruct> list = new ArrayList<>();
        for (int i = first; i < first + batch; i++) {
          list.add(Data.point(i));
        }
        statuses.add(client.upsertAsync(Data.ITEMS, list).get().getStatus());
      }
      return statuses;
    });
    write("upsert a UUID", () ->
        client.upsertAsync(Data.ITEMS, List.of(Data.point(10_001, id(Data.SOME_UUID)))).get().getStatus());
    write("upsert named vectors", () -> client.upsertAsync(Data.NAMED, Data.books()).get().getStatus());
    UpsertPoints hasty = UpsertPoints.newBuilder()
        .setCollectionName(Data.ITEMS).setWait(false).addPoints(Data.point(1)).build();
    write("upsert without waiting", () -> client.upsertAsync(hasty).get().getStatus());
  }

  private void payloads() {
    String in = Data.ITEMS;
    write("set payload", () -> client.setPayloadAsync(
        in, Map.of("sale", value(true)), Data.selected(1, 2), true, null, null).get().getStatus());
    unsafe("set payload by filter", () -> client.setPayloadAsync(
        in, Map.of("lucky", value("yes")), Data.must(match("n", 7)), true, null, null).get().getStatus());
    write("overwrite payload", () -> client.overwritePayloadAsync(
        in, Map.of("color", value("weiß"), "n", value(3)), id(3), true, null, null).get().getStatus());
    write("delete payload", () -> client.deletePayloadAsync(
        in, List.of("price", "text"), id(4), true, null, null).get().getStatus());
    write("clear payload", () -> client.clearPayloadAsync(in, id(5), true, null, null).get().getStatus());
    read("payloads after edits", () -> client.retrieveAsync(
        in, Data.ids(1, 2, 3, 4, 5, 7), true, false, null).get());
  }

  private void vectorEdits() {
    PointVectors change = PointVectors.newBuilder()
        .setId(id(3)).setVectors(namedVectors(Map.of("terms", vector(List.of(1f), List.of(3))))).build();
    write("update vectors", () -> client.updateVectorsAsync(Data.NAMED, List.of(change)).get().getStatus());
    write("delete vectors", () ->
        client.deleteVectorsAsync(Data.NAMED, List.of("words"), List.of(id(Data.OTHER_UUID))).get().getStatus());
    ScrollPoints all = ScrollPoints.newBuilder()
        .setCollectionName(Data.NAMED)
        .setWithVectors(io.qdrant.client.WithVectorsSelectorFactory.enable(true))
        .build();
    read("vectors after edits", () -> client.scrollAsync(all).get().getResultList());
  }

  private void batches() {
    String in = Data.ITEMS;
    List<PointsUpdateOperation> operations = List.of(
        PointsUpdateOperation.newBuilder().setUpsert(
            PointsUpdateOperation.PointStructList.newBuilder().addPoints(Data.point(20_000))).build(),
        PointsUpdateOperation.newBuilder().setSetPayload(PointsUpdateOperation.SetPayload.newBuilder()
            .putPayload("color", value("black")).setPointsSelector(Data.selected(20_000))).build(),
        PointsUpdateOperation.newBuilder().setDeletePoints(
            PointsUpdateOperation.DeletePoints.newBuilder().setPoints(Data.selected(10))).build());
    // Unsafe, because it deletes beside other changes.
    unsafe("update batch", () -> client.batchUpdateAsync(in, operations).get().size());
    write("delete by ids", () -> client.deleteAsync(in, Data.ids(11, 12, 99_999)).get().getStatus());
    Range range = Range.newBuilder().setGte(9000).setLt(9100).build();
    unsafe("delete by filter", () -> client.deleteAsync(in, Data.must(range("n", range))).get().getStatus());
    write("delete index", () -> client.deletePayloadIndexAsync(in, "since", true, null, null).get().getStatus());
    read("count after deletes", () -> client.countAsync(in, null, true).get());
  }

  private void aliases() {
    unsafe("create alias", () -> client.createAliasAsync("sdk-alias", Data.ITEMS).get().getResult());
    read("count by alias", () -> client.countAsync("sdk-alias", null, true).get());
    unsafe("rename alias", () -> client.renameAliasAsync("sdk-alias", "sdk-renamed").get().getResult());
    List<AliasOperations> change = List.of(
        AliasOperations.newBuilder().setDeleteAlias(DeleteAlias.newBuilder().setAliasName("sdk-renamed")).build(),
        AliasOperations.newBuilder().setCreateAlias(
            CreateAlias.newBuilder().setAliasName("sdk-renamed").setCollectionName(Data.NAMED)).build());
    unsafe("switch alias", () -> client.updateAliasesAsync(change).get().getResult());
    read("list aliases", () -> client.listAliasesAsync().get());
    read("list aliases of a collection", () -> client.listCollectionAliasesAsync(Data.NAMED).get());
    unsafe("delete alias", () -> client.deleteAliasAsync("sdk-renamed").get().getResult());
    unsafe("alias of nothing", () -> client.createAliasAsync("sdk-alias", Data.GHOST).get().getResult());
  }

  /** Their names have the time in them. */
  private void snapshots() {
    String[] name = {""};
    unsafe("create snapshot", () -> {
      name[0] = client.createSnapshotAsync(Data.NAMED).get().getName();
      return true;
    });
    read("list snapshots", () -> !client.listSnapshotAsync(Data.NAMED).get().isEmpty());
    unsafe("delete snapshot", () -> client.deleteSnapshotAsync(Data.NAMED, name[0]).get() != null);
    read("list full snapshots", () -> client.listFullSnapshotAsync().get().size());
  }

  private void mistakes() {
    PointStruct brief = PointStruct.newBuilder().setId(id(1)).setVectors(vectors(1, 2)).build();
    write("mistake: wrong dimension", () -> client.upsertAsync(Data.ITEMS, List.of(brief)).get());
    ScrollPoints none = ScrollPoints.newBuilder().setCollectionName(Data.ITEMS).setLimit(0).build();
    read("mistake: invalid request", () -> client.scrollAsync(none).get());
    write("mistake: upsert nowhere", () -> client.upsertAsync(Data.GHOST, List.of(Data.point(1))).get());
    PointStruct large = Data.point(30_000).toBuilder()
        .putPayload("large", value("0123456789abcdef".repeat(6 << 16))).build();
    // The sidecar stores, and repeats, requests up to 4 MiB.
    unsafe("upsert 6 MiB in one point", () -> client.upsertAsync(Data.ITEMS, List.of(large)).get().getStatus());
    read("read 6 MiB in one point", () -> client.retrieveAsync(Data.ITEMS, Data.ids(30_000), true, false, null).get());
  }

  private void farewell() {
    for (String name : List.of(Data.ITEMS, Data.NAMED)) {
      unsafe("delete collection " + name, () -> client.deleteCollectionAsync(name).get().getResult());
    }
    unsafe("delete collection: none", () -> client.deleteCollectionAsync(Data.GHOST).get().getResult());
  }

  /** One call of each kind, of different methods, for a runner that counts what reaches Qdrant. */
  private void attempts() {
    read("Query", () -> client.queryAsync(Reads.items(Reads.near(1)).build()).get());
    write("SetPayload", () -> client.setPayloadAsync(
        Data.ITEMS, Map.of("a", value(1)), Data.selected(1), true, null, null).get());
    read("Create", () -> client.createCollectionAsync(Data.ITEMS, params(2, Distance.Dot)).get());
  }
}
