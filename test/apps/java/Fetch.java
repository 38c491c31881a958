// SPDX-License-Identifier: Apache-2.0

// A client by java.net.http, for test/apps/java.py: URL COUNT. Prints the checksums of the answers
// and how often each came. An error ends it with status 1 and the name of the error.
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;

public class Fetch {
    public static void main(String[] args) {
        HttpClient client = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(10)).build();
        HttpRequest request = HttpRequest.newBuilder(URI.create(args[0])).build();
        TreeMap<String, Integer> sums = new TreeMap<>();
        try {
            for (int left = Integer.parseInt(args[1]); left > 0; left -= 10) {
                List<CompletableFuture<HttpResponse<byte[]>>> some = new ArrayList<>();
                for (int i = 0; i < Math.min(left, 10); i++) {
                    some.add(client.sendAsync(request, HttpResponse.BodyHandlers.ofByteArray()));
                }
                for (var one : some) {
                    sums.merge(one.join().statusCode() + " " + Bytes.sum(one.join().body()), 1, Integer::sum);
                }
            }
        } catch (CompletionException error) {
            System.err.println(error.getCause());
            System.exit(1);
        }
        sums.forEach((sum, count) -> System.out.println(sum + " " + count));
    }
}
