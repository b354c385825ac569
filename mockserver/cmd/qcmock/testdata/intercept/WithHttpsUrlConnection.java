import java.io.IOException;
import java.net.URL;
import javax.net.ssl.HttpsURLConnection;

class WithHttpsUrlConnection {
    public static void main(String[] arguments) throws Exception {
        for (String host : new String[] {"www", "beta"}) {
            HttpsURLConnection connection =
                (HttpsURLConnection) new URL("https://" + host + ".quantconnect.com/api/v2//agents/list").openConnection();
            connection.setRequestMethod("POST");
            connection.setRequestProperty("Content-Type", "application/json");
            connection.setDoOutput(true);
            connection.getOutputStream().write("{\"organizationId\":\"0123456789abcdef0123456789abcdef\"}".getBytes("UTF-8"));
            String answer = new String(connection.getInputStream().readAllBytes(), "UTF-8");
            System.out.println(connection.getResponseCode() + (answer.contains("\"success\":true") ? " True" : " False"));
        }
        try {
            new URL("https://example.com/").openConnection().getInputStream();
            System.out.println("reached example.com");
        } catch (IOException error) {
            System.out.println(error.getMessage().contains("403") ? "403" : error.toString());
        }
    }
}
