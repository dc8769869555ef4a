import com.google.common.hash.Hashing;
import com.google.protobuf.Message;
import io.grpc.Status;
import io.qdrant.client.grpc.Points.BatchResult;
import io.qdrant.client.grpc.Points.PointGroup;
import io.qdrant.client.grpc.Points.ScoredPoint;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CancellationException;
import java.util.concurrent.ExecutionException;
import java.util.stream.Collectors;

/** What is the same for every step: making the call, and printing the line that the runner reads. */
final class Step {
  /** What may happen to a step when the wire fails. */
  enum Kind {
    /** Must succeed. */
    READ,
    /** Idempotent: must succeed. */
    WRITE,
    /** May fail, and is then repeated by the user. */
    UNSAFE
  }

  private static final int MAX_REPEATS = 20;
  private static final int REPEAT_PAUSE = 50; // milliseconds
  private static final int MAX_RESULT = 300; // characters of a result that are shown

  private Step() {}

  /**
   * Makes a call and reports its outcome. An unsafe call that failed because Qdrant was out of reach is made again, as a
   * user would: the steps after it need what it does.
   */
  static void step(String name, Kind kind, Callable<?> call) {
    List<String> repeats = new ArrayList<>();
    long start = System.nanoTime();
    String outcome;
    while (true) {
      try {
        String text = text(call.call());
        String digest = Hashing.sha256().hashString(text, StandardCharsets.UTF_8).toString().substring(0, 16);
        outcome = "\"ok\":true,\"digest\":" + json(digest)
            + ",\"result\":" + json(text.substring(0, Math.min(text.length(), MAX_RESULT)));
        break;
      } catch (Exception e) {
        Throwable error = e instanceof ExecutionException ? e.getCause() : e;
        Status status = Status.fromThrowable(error);
        if (kind == Kind.UNSAFE && status.getCode() == Status.Code.UNAVAILABLE && repeats.size() < MAX_REPEATS) {
          repeats.add(error.getMessage());
          pause(REPEAT_PAUSE);
          continue;
        }
        outcome = "\"ok\":false,\"error\":" + describe(error, status);
        break;
      }
    }
    double millis = (System.nanoTime() - start) / 1000 / 1000.0;
    String list = repeats.stream().map(Step::json).collect(Collectors.joining(","));
    System.out.println("{\"step\":" + json(name) + ",\"kind\":" + json(kind.name().toLowerCase()) + "," + outcome
        + ",\"repeats\":[" + list + "],\"ms\":" + millis + "}");
  }

  private static String describe(Throwable error, Status status) {
    boolean isCancelled = error instanceof CancellationException;
    String code = isCancelled ? Status.Code.CANCELLED.name() : status.getCode().name();
    // Who notices first that a call is given up, the client or the server, is a race.
    boolean isGivenUp = isCancelled || status.getCode() == Status.Code.DEADLINE_EXCEEDED;
    String message = isGivenUp ? "" : String.valueOf(error.getMessage());
    return "{\"type\":" + json(error.getClass().getSimpleName()) + ",\"code\":" + json(code)
        + ",\"message\":" + json(message) + "}";
  }

  /** A result as text that is the same for equal results: protobuf's has the keys of maps in order. */
  private static String text(Object result) {
    if (result instanceof List<?> list) {
      return list.stream().map(Step::text).collect(Collectors.joining(", ", "[", "]"));
    }
    return result instanceof Message message ? withoutVersions(message).toString() : String.valueOf(result);
  }

  /** In versions, a write that had to be repeated counts twice. */
  private static Message withoutVersions(Message message) {
    if (message instanceof ScoredPoint point) {
      return point.toBuilder().clearVersion().build();
    }
    if (message instanceof BatchResult batch) {
      BatchResult.Builder builder = batch.toBuilder();
      builder.getResultBuilderList().forEach(ScoredPoint.Builder::clearVersion);
      return builder.build();
    }
    if (message instanceof PointGroup group) {
      PointGroup.Builder builder = group.toBuilder();
      builder.getHitsBuilderList().forEach(ScoredPoint.Builder::clearVersion);
      return builder.build();
    }
    return message;
  }

  static void pause(long millis) {
    try {
      Thread.sleep(millis);
    } catch (InterruptedException e) {
      throw new IllegalStateException(e);
    }
  }

  static String json(String text) {
    StringBuilder quoted = new StringBuilder("\"");
    for (char c : text.toCharArray()) {
      if (c == '"' || c == '\\') {
        quoted.append('\\').append(c);
      } else if (c < ' ') {
        quoted.append(String.format("\\u%04x", (int) c));
      } else {
        quoted.append(c);
      }
    }
    return quoted.append('"').toString();
  }
}
