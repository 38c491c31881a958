// SPDX-License-Identifier: Apache-2.0

// An HTTP server with a pool of threads, for test/apps/java.py: PORT. Answers with the length and
// checksum of the body, and the peer's address. GET /bytes/N returns N bytes that both sides can
// make. Ends on SIGTERM.
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

public class Server {
    static final Set<String> threads = ConcurrentHashMap.newKeySet();

    static void answer(HttpExchange exchange) throws IOException {
        threads.add(Thread.currentThread().getName());
        byte[] reply;
        String path = exchange.getRequestURI().getPath();
        if (path.startsWith("/bytes/")) {
            reply = Bytes.make(Integer.parseInt(path.substring(7)));
        } else if (path.equals("/threads")) {
            reply = String.valueOf(threads.size()).getBytes();
        } else {
            byte[] body = exchange.getRequestBody().readAllBytes();
            reply = (body.length + " " + Bytes.sum(body) + " "
                     + exchange.getRemoteAddress().getAddress().getHostAddress()).getBytes();
        }
        exchange.sendResponseHeaders(200, reply.length == 0 ? -1 : reply.length);
        try (OutputStream out = exchange.getResponseBody()) {
            out.write(reply);
        }
    }

    static HttpServer start(InetSocketAddress address, ExecutorService pool) throws IOException {
        HttpServer server = HttpServer.create(address, 128);
        server.createContext("/", Server::answer);
        server.setExecutor(pool);
        server.start();
        return server;
    }

    public static void main(String[] args) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(8);
        HttpServer server = start(new InetSocketAddress("0.0.0.0", Integer.parseInt(args[0])), pool);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            server.stop(0);
            System.out.println("stopped");
        }));
        System.out.println("listening");
    }
}
