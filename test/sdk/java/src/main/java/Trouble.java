import com.google.common.util.concurrent.Futures;
import com.google.common.util.concurrent.ListenableFuture;
import io.qdrant.client.QdrantClient;
import io.qdrant.client.grpc.Points.PointStruct;
import io.qdrant.client.grpc.Points.QueryPoints;
import io.qdrant.client.grpc.Points.ScoredPoint;
import io.qdrant.client.grpc.Points.SearchParams;
import io.qdrant.client.grpc.Points.UpdateResult;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/** Many calls at once, a pause, and calls that are given up. */
final class Trouble {
  private static final int WORKERS = 16;
  private static final int EACH = 10;
  private static final Duration BRIEF = Duration.ofMillis(30);

  private final QdrantClient client;

  Trouble(QdrantClient client) {
    this.client = client;
  }

  void run(double idleSeconds) {
    parallel();
    patience(idleSeconds);
  }

  private void parallel() {
    Step.step("parallel reads", Step.Kind.READ, () -> {
      List<ListenableFuture<List<ScoredPoint>>> calls = new ArrayList<>();
      for (int i = 0; i < WORKERS * EACH; i++) {
        calls.add(client.queryAsync(Reads.items(Reads.near(i)).build()));
      }
      return Futures.allAsList(calls).get().stream().map(points -> points.get(0).getId()).toList();
    });
    Step.step("parallel writes", Step.Kind.WRITE, () -> {
      List<ListenableFuture<UpdateResult>> calls = new ArrayList<>();
      for (int worker = 0; worker < WORKERS; worker++) {
        List<PointStruct> points = new ArrayList<>();
        for (int i = 0; i < EACH; i++) {
          points.add(Data.point(40_000 + worker * EACH + i));
        }
        calls.add(client.upsertAsync(Data.ITEMS, points));
      }
      return Futures.allAsList(calls).get().stream().map(UpdateResult::getStatus).toList();
    });
    count("count after parallel writes");
  }

  private void count(String name) {
    Step.step(name, Step.Kind.READ, () -> client.countAsync(Data.ITEMS, null, true).get());
  }

  private void patience(double idleSeconds) {
    Step.step("query after a pause", Step.Kind.READ, () -> {
      Step.pause((long) (1000 * idleSeconds));
      return client.queryAsync(Reads.items(Reads.near(3)).build()).get();
    });
    List<QueryPoints> slow = new ArrayList<>();
    for (int i = 0; i < 300; i++) {
      slow.add(Reads.items(Reads.near(i)).setParams(SearchParams.newBuilder().setExact(true)).build());
    }
    Step.step("timeout", Step.Kind.READ, () -> client.queryBatchAsync(Data.ITEMS, slow, null, BRIEF).get().size());
    Step.step("cancel", Step.Kind.READ, () -> {
      ListenableFuture<?> call = client.queryBatchAsync(Data.ITEMS, slow);
      Step.pause(BRIEF.toMillis());
      call.cancel(true);
      return call.get() != null;
    });
    count("count after giving up");
  }
}
