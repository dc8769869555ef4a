import static io.qdrant.client.PointIdFactory.id;
import static io.qdrant.client.ValueFactory.list;
import static io.qdrant.client.ValueFactory.nullValue;
import static io.qdrant.client.ValueFactory.value;
import static io.qdrant.client.VectorFactory.multiVector;
import static io.qdrant.client.VectorFactory.vector;
import static io.qdrant.client.VectorsFactory.namedVectors;
import static io.qdrant.client.VectorsFactory.vectors;

import io.qdrant.client.grpc.Common.Condition;
import io.qdrant.client.grpc.Common.Filter;
import io.qdrant.client.grpc.Common.PointId;
import io.qdrant.client.grpc.JsonWithInt.Value;
import io.qdrant.client.grpc.Points.PointStruct;
import io.qdrant.client.grpc.Points.PointsIdsList;
import io.qdrant.client.grpc.Points.PointsSelector;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.UUID;

/** The points of every SDK's scenario. */
final class Data {
  static final String ITEMS = "sdk-items"; // 10,000 points of one vector
  static final String NAMED = "sdk-named"; // three points of several vectors
  static final String GHOST = "sdk-ghost"; // never exists
  static final int DIMENSIONS = 32;
  static final int POINTS = 10_000;

  static final UUID SOME_UUID = UUID.fromString("0c7b2a52-3c4d-4a53-9a51-25d7a2f8a001");
  static final UUID OTHER_UUID = UUID.fromString("0c7b2a52-3c4d-4a53-9a51-25d7a2f8a002");

  private Data() {}

  /** No two are alike, so that no two scores are. */
  static List<Float> numbers(int i) {
    List<Float> numbers = new ArrayList<>(DIMENSIONS);
    for (int j = 0; j < DIMENSIONS; j++) {
      numbers.add((i * 7919 + j * 104729 + i * j * 31) % 1000003 / 1000003f);
    }
    return numbers;
  }

  static PointStruct point(int i) {
    return point(i, id(i));
  }

  static PointStruct point(int i, PointId id) {
    return PointStruct.newBuilder()
        .setId(id)
        .setVectors(vectors(numbers(i)))
        .putPayload("n", value(i))
        .putPayload("color", value(List.of("red", "green", "blue").get(i % 3)))
        .putPayload("price", value(i * 37 % 1000 / 8.0))
        .putPayload("sold", value(i % 2 == 0))
        .putPayload("tags", list(List.of(value("t" + i % 5), value("all"))))
        .putPayload("shop", value(Map.of(
            "city", value("Zürich"),
            "at", value(Map.of("lat", value(47 + i % 100 / 100.0), "lon", value(8.5))))))
        .putPayload("since", value(String.format("2024-01-%02dT12:00:00Z", i % 28 + 1)))
        .putPayload("text", value("thing number " + i + " of many"))
        .build();
  }

  static List<PointStruct> books() {
    return List.of(
        book(id(SOME_UUID), value("Moby-Dick"), 1851).setVectors(namedVectors(Map.of(
            "text", vector(1, 0, 0.5f),
            "terms", vector(List.of(0.5f, 1.5f, 0.25f), List.of(1, 7, 42)),
            "words", multiVector(new float[][] {{1, 0}, {0.6f, 0.8f}})))).build(),
        book(id(OTHER_UUID), value("Emma"), 1815).setVectors(namedVectors(Map.of(
            "text", vector(0.25f, 1, 0),
            "terms", vector(List.of(2f, 1f), List.of(7, 9)),
            "words", multiVector(new float[][] {{0, 1}})))).build(),
        book(id(3), nullValue(), 1999).setVectors(namedVectors(Map.of("text", vector(0.5f, 0.5f, 0.5f)))).build());
  }

  private static PointStruct.Builder book(PointId id, Value title, int year) {
    return PointStruct.newBuilder().setId(id).putPayload("title", title).putPayload("year", value(year));
  }

  static List<PointId> ids(long... numbers) {
    return Arrays.stream(numbers).mapToObj(n -> id(n)).toList();
  }

  static PointsSelector selected(long... numbers) {
    return PointsSelector.newBuilder().setPoints(PointsIdsList.newBuilder().addAllIds(ids(numbers))).build();
  }

  static Filter must(Condition... conditions) {
    return Filter.newBuilder().addAllMust(List.of(conditions)).build();
  }
}
