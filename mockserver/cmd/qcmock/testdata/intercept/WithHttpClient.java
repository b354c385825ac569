import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

class WithHttpClient {
    public static void main(String[] arguments) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        for (String host : new String[] {"www", "beta"}) {
            HttpRequest request = HttpRequest.newBuilder(URI.create("https://" + host + ".quantconnect.com/api/v2//agents/list"))
                .header("Content-Type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString("{\"organizationId\":\"0123456789abcdef0123456789abcdef\"}"))
                .build();
            HttpResponse<String> answer = client.send(request, HttpResponse.BodyHandlers.ofString());
            System.out.println(answer.statusCode() + (answer.body().contains("\"success\":true") ? " True" : " False"));
        }
        try {
            client.send(HttpRequest.newBuilder(URI.create("https://example.com/")).build(), HttpResponse.BodyHandlers.ofString());
            System.out.println("reached example.com");
        } catch (IOException error) {
            System.out.println(error.getMessage().contains("403") ? "403" : error.toString());
        }
    }
}
