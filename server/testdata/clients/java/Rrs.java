import java.nio.charset.StandardCharsets;
import org.apache.http.HttpResponse;
import org.apache.http.client.methods.HttpPost;
import org.apache.http.entity.StringEntity;
import org.apache.http.impl.client.CloseableHttpClient;
import org.apache.http.impl.client.HttpClients;
import org.apache.http.util.EntityUtils;

/** Scores over REST with the library and the headers of Microsoft's Java sample for AzureML Studio (classic). */
class Rrs {
  public static void main(String[] args) throws Exception {
    String body =
        "{\"Inputs\":{\"input1\":{\"ColumnNames\":[\"Col2\"],\"Values\":[[\"This is a good day\"]]}},\"GlobalParameters\":{}}";
    try (CloseableHttpClient client = HttpClients.createDefault()) {
      HttpPost post =
          new HttpPost(
              System.getenv("AMLGATE_REST")
                  + "/workspaces/demo/services/feature-hashing/execute?api-version=2.0&details=true");
      StringEntity entity = new StringEntity(body, StandardCharsets.UTF_8);
      entity.setContentType("text/json");
      // A charset where a coding belongs: the sample's own mistake.
      entity.setContentEncoding("UTF-8");
      post.setHeader("Accept", "text/json");
      post.setHeader("Accept-Charset", "UTF-8");
      post.setHeader("Authorization", "Bearer demo-key");
      post.setEntity(entity);
      HttpResponse response = client.execute(post);
      System.out.println(response.getStatusLine());
      System.out.println(EntityUtils.toString(response.getEntity()));
    }
  }
}
