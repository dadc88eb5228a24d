import com.google.protobuf.Any;
import com.google.protobuf.ByteString;
import com.google.protobuf.Value;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import io.github.amlgate.v1.Bools;
import io.github.amlgate.v1.Column;
import io.github.amlgate.v1.Doubles;
import io.github.amlgate.v1.ExecuteRequest;
import io.github.amlgate.v1.Int64s;
import io.github.amlgate.v1.JobServiceGrpc;
import io.github.amlgate.v1.ScoringInput;
import io.github.amlgate.v1.ScoringServiceGrpc;
import io.github.amlgate.v1.StartJobRequest;
import io.github.amlgate.v1.Strings;
import io.github.amlgate.v1.SubmitJobRequest;
import io.github.amlgate.v1.Table;
import io.github.amlgate.v1.WatchJobRequest;
import io.github.amlgate.v1.WatchJobResponse;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.MetadataUtils;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Locale;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;

/** Scores over gRPC with generated stubs and prints what came back, in the form that all languages' clients here share. */
class GrpcClient {
  public static void main(String[] args) throws Exception {
    ManagedChannel channel =
        Grpc.newChannelBuilder(System.getenv("AMLGATE_GRPC"), InsecureChannelCredentials.create()).build();
    try {
      new TreeMap<>(stub(channel, "demo-key").execute(scored(people(61, 53, 48, 0))).getTables().getResultsMap())
          .forEach(GrpcClient::show);

      String json =
          "{\"Inputs\":{\"input1\":{\"ColumnNames\":[\"Col2\"],\"Values\":[[\"This is a good day\"]]}},\"GlobalParameters\":{}}";
      ExecuteRequest hashed =
          ExecuteRequest.newBuilder()
              .setWorkspace("demo")
              .setService("feature-hashing")
              .setJson(ByteString.copyFromUtf8(json))
              .build();
      System.out.println("json: " + stub(channel, "demo-key").execute(hashed).getJson().toStringUtf8());

      showError("ragged", () -> stub(channel, "demo-key").execute(scored(people(61, 53, 48))));
      showError("key", () -> stub(channel, "no-such-key").execute(scored(people(61, 53, 48, 0))));
      watch(channel);
    } finally {
      channel.shutdownNow();
    }
  }

  static ScoringServiceGrpc.ScoringServiceBlockingStub stub(ManagedChannel channel, String key) {
    return ScoringServiceGrpc.newBlockingStub(channel)
        .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(key(key)))
        .withDeadlineAfter(30, TimeUnit.SECONDS);
  }

  /** Runs a job on a blob that is not there and watches it to its end, then from its end. */
  static void watch(ManagedChannel channel) {
    JobServiceGrpc.JobServiceBlockingStub jobs =
        JobServiceGrpc.newBlockingStub(channel)
            .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(key("demo-key")))
            .withDeadlineAfter(60, TimeUnit.SECONDS);
    String body =
        "{\"Input\":{\"ConnectionString\":\"UseDevelopmentStorage=true\",\"RelativeLocation\":\"none/none.csv\"}}";
    String id =
        jobs.submitJob(
                SubmitJobRequest.newBuilder()
                    .setWorkspace("demo")
                    .setService("feature-hashing")
                    .setJson(ByteString.copyFromUtf8(body))
                    .build())
            .getJobId();
    jobs.startJob(
        StartJobRequest.newBuilder().setWorkspace("demo").setService("feature-hashing").setJobId(id).build());
    WatchJobRequest request =
        WatchJobRequest.newBuilder().setWorkspace("demo").setService("feature-hashing").setJobId(id).build();
    WatchJobResponse last = WatchJobResponse.getDefaultInstance();
    for (Iterator<WatchJobResponse> events = jobs.watchJob(request); events.hasNext(); ) {
      WatchJobResponse event = events.next();
      if (event.hasJob()) {
        last = event;
      } else if (event.hasEnd()) {
        System.out.println("watch: " + last.getJob().getState() + ", then " + event.getEnd().getReason());
      }
    }
    List<String> again = new ArrayList<>();
    jobs.watchJob(request.toBuilder().setCursor(last.getCursor()).build())
        .forEachRemaining(event -> again.add(event.getEnd().getReason().name()));
    System.out.println("resumed: " + String.join(", ", again));
  }

  static Metadata key(String key) {
    Metadata headers = new Metadata();
    headers.put(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER), "Bearer " + key);
    return headers;
  }

  /** Four rows; each kind of vector has a missing cell. */
  static Table people(long... ages) {
    Int64s.Builder age = Int64s.newBuilder();
    for (long a : ages) {
      age.addValues(a);
    }
    return Table.newBuilder()
        .addColumns(
            column("Sex", 3).setStrings(Strings.newBuilder().addAllValues(List.of("female", "male", "male", ""))))
        .addColumns(column("Age", 3).setInt64S(age))
        .addColumns(column("TotalCholesterol", 2).setDoubles(doubles(180.5, 161, 0, 200)))
        .addColumns(column("HdlCholesterol").setDoubles(doubles(47, 55, 50, 50)))
        .addColumns(column("SystolicBloodPressure").setDoubles(doubles(124, 125, 130, 130)))
        .addColumns(column("Treated").setBools(bools(false, true, false, false)))
        .addColumns(column("Smoker", 3).setBools(bools(true, false, false, false)))
        .addColumns(column("Diabetic").setBools(bools(false, true, false, false)))
        .build();
  }

  static Column.Builder column(String name, Integer... missing) {
    return Column.newBuilder().setName(name).addAllMissing(List.of(missing));
  }

  static Doubles doubles(double... values) {
    Doubles.Builder b = Doubles.newBuilder();
    for (double v : values) {
      b.addValues(v);
    }
    return b.build();
  }

  static Bools bools(Boolean... values) {
    return Bools.newBuilder().addAllValues(List.of(values)).build();
  }

  static ExecuteRequest scored(Table table) {
    return ExecuteRequest.newBuilder()
        .setWorkspace("demo")
        .setService("cardiovascular-risk")
        .setTables(
            ScoringInput.newBuilder()
                .putInputs("input1", table)
                .putGlobalParameters("High risk threshold", Value.newBuilder().setNumberValue(0.15).build()))
        .build();
  }

  static List<String> cells(Column c) {
    switch (c.getValuesCase()) {
      case STRINGS:
        return new ArrayList<>(c.getStrings().getValuesList());
      case INT64S:
        return c.getInt64S().getValuesList().stream().map(String::valueOf).collect(Collectors.toList());
      case DOUBLES:
        return c.getDoubles().getValuesList().stream()
            .map(v -> String.format(Locale.ROOT, "%.9f", v))
            .collect(Collectors.toList());
      case BOOLS:
        return c.getBools().getValuesList().stream().map(String::valueOf).collect(Collectors.toList());
      default:
        throw new IllegalStateException("column " + c.getName() + " has no values");
    }
  }

  static void show(String name, Table table) {
    System.out.println(name + ": " + table.getRowCount() + " rows");
    for (Column c : table.getColumnsList()) {
      List<String> texts = cells(c);
      c.getMissingList().forEach(row -> texts.set(row, "-"));
      String kind = c.getValuesCase().name().toLowerCase(Locale.ROOT);
      System.out.println("  " + c.getName() + " (" + c.getType() + ", " + kind + "): " + String.join(", ", texts));
    }
  }

  static void showError(String title, Runnable call) throws Exception {
    try {
      call.run();
    } catch (StatusRuntimeException e) {
      System.out.println(title + ": " + e.getStatus().getCode() + ": " + e.getStatus().getDescription());
      for (Any detail : StatusProto.fromThrowable(e).getDetailsList()) {
        if (detail.is(ErrorInfo.class)) {
          ErrorInfo info = detail.unpack(ErrorInfo.class);
          System.out.println("  ErrorInfo " + info.getDomain() + " " + info.getReason());
        } else if (detail.is(BadRequest.class)) {
          detail
              .unpack(BadRequest.class)
              .getFieldViolationsList()
              .forEach(v -> System.out.println("  BadRequest " + v.getField()));
        } else {
          System.out.println("  " + detail.getTypeUrl().replaceAll(".*\\.", ""));
        }
      }
    }
  }
}
