// SPDX-License-Identifier: Apache-2.0

// What java.nio and java.net promise, over the program's own loopback, for test/apps/java.py:
// FOLDER [PART]. Each part prints lines that are the same wherever it runs.
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.InputStream;
import java.net.BindException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.NetworkInterface;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.SocketAddress;
import java.net.SocketException;
import java.net.SocketTimeoutException;
import java.net.StandardProtocolFamily;
import java.net.StandardSocketOptions;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.AsynchronousCloseException;
import java.nio.channels.AsynchronousServerSocketChannel;
import java.nio.channels.AsynchronousSocketChannel;
import java.nio.channels.ByteChannel;
import java.nio.channels.ClosedByInterruptException;
import java.nio.channels.CompletionHandler;
import java.nio.channels.DatagramChannel;
import java.nio.channels.FileChannel;
import java.nio.channels.InterruptedByTimeoutException;
import java.nio.channels.SelectableChannel;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;

public class Network {
    static final InetSocketAddress ANY = new InetSocketAddress("127.0.0.1", 0);
    static Path folder;

    interface Part {
        void run() throws Exception;
    }

    static void say(Object... words) {
        StringBuilder line = new StringBuilder();
        for (Object word : words) line.append(line.length() == 0 ? "" : " ").append(word);
        System.out.println(line);
    }

    static Thread start(Part body) {
        Thread thread = new Thread(() -> {
            try {
                body.run();
            } catch (Exception error) {
                error.printStackTrace();
                System.exit(2);
            }
        });
        thread.start();
        return thread;
    }

    static void write(ByteChannel channel, byte[] bytes) throws IOException {
        ByteBuffer buffer = ByteBuffer.wrap(bytes);
        while (buffer.hasRemaining()) channel.write(buffer);
    }

    static byte[] readFully(ByteChannel channel, int length) throws IOException {
        ByteBuffer buffer = ByteBuffer.allocate(length);
        while (buffer.hasRemaining() && channel.read(buffer) >= 0) {}
        return Arrays.copyOf(buffer.array(), buffer.position());
    }

    // Echoes on every channel of a Selector until it is told to stop and no connection is open.
    // Counts by kind.
    static class Echo implements Part {
        final Selector selector = Selector.open();
        final TreeMap<String, Integer> bytes = new TreeMap<>();
        volatile boolean stop;
        int open;

        Echo() throws IOException {}

        void add(SelectableChannel channel, int operations) throws IOException {
            channel.configureBlocking(false);
            channel.register(selector, operations);
        }

        static String kind(SelectableChannel channel) throws IOException {
            if (channel instanceof DatagramChannel) return "datagrams";
            return ((SocketChannel) channel).getLocalAddress() instanceof UnixDomainSocketAddress ? "unix" : "tcp";
        }

        @Override
        public void run() throws Exception {
            ByteBuffer buffer = ByteBuffer.allocateDirect(20000);
            while (!stop || open > 0) {
                selector.select();
                var keys = selector.selectedKeys().iterator();
                while (keys.hasNext()) {
                    SelectionKey key = keys.next();
                    keys.remove();
                    SelectableChannel channel = key.channel();
                    if (key.isAcceptable()) {
                        SocketChannel accepted = ((ServerSocketChannel) channel).accept();
                        if (accepted != null) {
                            add(accepted, SelectionKey.OP_READ);
                            open++;
                        }
                        continue;
                    }
                    buffer.clear();
                    if (channel instanceof DatagramChannel datagrams) {
                        SocketAddress peer = datagrams.receive(buffer);
                        if (peer == null) continue;
                        bytes.merge("datagrams", buffer.flip().remaining(), Integer::sum);
                        datagrams.send(buffer, peer);
                        continue;
                    }
                    SocketChannel stream = (SocketChannel) channel;
                    if (key.isWritable()) {
                        ByteBuffer rest = (ByteBuffer) key.attachment();
                        stream.write(rest);
                        if (!rest.hasRemaining()) key.interestOps(SelectionKey.OP_READ);
                        continue;
                    }
                    if (stream.read(buffer) < 0) {
                        stream.close();
                        open--;
                        continue;
                    }
                    bytes.merge(kind(stream), buffer.flip().remaining(), Integer::sum);
                    stream.write(buffer);
                    if (buffer.hasRemaining()) {
                        key.attach(ByteBuffer.allocate(buffer.remaining()).put(buffer).flip());
                        key.interestOps(SelectionKey.OP_WRITE);
                    }
                }
            }
            selector.close();
        }
    }

    // Connections, datagrams and a Unix socket in one Selector; wakeup().
    static void selector() throws Exception {
        UnixDomainSocketAddress name = UnixDomainSocketAddress.of(folder.resolve("java.sock"));
        try (ServerSocketChannel tcp = ServerSocketChannel.open().bind(ANY);
             ServerSocketChannel unix = ServerSocketChannel.open(StandardProtocolFamily.UNIX).bind(name);
             DatagramChannel udp = DatagramChannel.open(StandardProtocolFamily.INET).bind(ANY)) {
            InetSocketAddress tcpAddress = (InetSocketAddress) tcp.getLocalAddress();
            SocketAddress udpAddress = udp.getLocalAddress();
            Echo echo = new Echo();
            echo.add(tcp, SelectionKey.OP_ACCEPT);
            echo.add(unix, SelectionKey.OP_ACCEPT);
            echo.add(udp, SelectionKey.OP_READ);
            Thread server = start(echo);
            List<Thread> clients = new ArrayList<>();
            AtomicInteger right = new AtomicInteger();
            for (SocketAddress address : new SocketAddress[] {tcpAddress, tcpAddress, tcpAddress, name, name}) {
                clients.add(start(() -> {
                    byte[] body = Bytes.make(1000000);
                    try (SocketChannel channel = SocketChannel.open(address)) {
                        Thread writer = start(() -> {
                            write(channel, body);
                            channel.shutdownOutput();
                        });
                        if (Bytes.sum(readFully(channel, body.length)).equals(Bytes.sum(body))) right.incrementAndGet();
                        writer.join();
                    }
                }));
            }
            clients.add(start(() -> {
                try (DatagramChannel channel = DatagramChannel.open(StandardProtocolFamily.INET)) {
                    channel.connect(udpAddress);
                    for (int i = 0; i < 100; i++) {
                        ByteBuffer back = ByteBuffer.allocate(20000);
                        channel.write(ByteBuffer.wrap(Bytes.make(1 + 150 * i)));
                        channel.read(back);
                        if (Bytes.sum(Bytes.make(1 + 150 * i)).equals(
                                Bytes.sum(Arrays.copyOf(back.array(), back.position())))) {
                            right.incrementAndGet();
                        }
                    }
                }
            }));
            for (Thread client : clients) client.join();
            echo.stop = true;
            echo.selector.wakeup();
            server.join();
            say("selector", right, echo.bytes);
        }
        Files.delete(name.getPath());
    }

    // wakeup() from another thread, before and during select(); select by time-out; selectNow().
    static void wakeup() throws Exception {
        try (Selector selector = Selector.open();
             DatagramChannel udp = DatagramChannel.open(StandardProtocolFamily.INET).bind(ANY)) {
            udp.configureBlocking(false);
            udp.register(selector, SelectionKey.OP_READ);
            selector.wakeup();
            say("wakeup before", selector.select(), selector.selectNow());
            int woken = 0;
            for (int i = 0; i < 200; i++) {
                Thread other = start(selector::wakeup);
                woken += selector.select() == 0 ? 1 : 0;
                other.join();
            }
            long began = System.nanoTime();
            int none = selector.select(50);
            say("wakeup during", woken, none, System.nanoTime() - began >= 49_000_000L);
            try (DatagramChannel other = DatagramChannel.open(StandardProtocolFamily.INET)) {
                other.send(ByteBuffer.wrap(new byte[3]), udp.getLocalAddress());
            }
            say("wakeup readable", selector.select(5000), selector.selectedKeys().size());
            Thread sleeper = Thread.currentThread();
            selector.selectedKeys().clear();
            udp.receive(ByteBuffer.allocate(10));
            Thread other = start(sleeper::interrupt);
            say("wakeup by interrupt", selector.select(), Thread.interrupted());
            other.join();
        }
    }

    // Reads that wait and are ended by close(), interrupt() or a time-out: signals to the waiting
    // thread.
    static void interrupted() throws Exception {
        for (String how : new String[] {"close", "interrupt"}) {
            try (ServerSocketChannel server = ServerSocketChannel.open().bind(ANY);
                 SocketChannel client = SocketChannel.open(server.getLocalAddress());
                 SocketChannel peer = server.accept()) {
                Thread reader = Thread.currentThread();
                Thread other = start(() -> {
                    Thread.sleep(50);
                    if (how.equals("close")) client.close();
                    else reader.interrupt();
                });
                try {
                    say("read", client.read(ByteBuffer.allocate(10)));
                } catch (ClosedByInterruptException error) {
                    say(how, "ends a read", error.getClass().getSimpleName(), Thread.interrupted());
                } catch (AsynchronousCloseException error) {
                    say(how, "ends a read", error.getClass().getSimpleName());
                }
                other.join();
                say("the peer then reads", peer.read(ByteBuffer.allocate(10)));
            }
        }
        try (ServerSocket server = new ServerSocket(0, 5, InetAddress.getByName("127.0.0.1"))) {
            Thread other = start(() -> {
                Thread.sleep(80);
                server.close();
            });
            try {
                server.accept();
                say("accepted");
            } catch (SocketException error) {
                say("accept", error.getMessage());
            }
            other.join();
        }
        try (ServerSocket server = new ServerSocket(0, 5, InetAddress.getByName("127.0.0.1"));
             Socket client = new Socket("127.0.0.1", server.getLocalPort()); Socket peer = server.accept()) {
            client.setSoTimeout(60);
            try {
                say("read", client.getInputStream().read());
            } catch (SocketTimeoutException error) {
                say("time-out", error.getMessage());
            }
            peer.getOutputStream().write(65);
            say("after it", client.getInputStream().read());
            client.setSoTimeout(0);
            Thread other = start(() -> {
                Thread.sleep(60);
                client.close();
            });
            try {
                say("read", client.getInputStream().read());
            } catch (SocketException error) {
                say("read", error.getMessage());
            }
            other.join();
        }
        int port;
        try (ServerSocket server = new ServerSocket(0, 5, InetAddress.getByName("127.0.0.1"))) {
            port = server.getLocalPort();
        }
        try {
            new Socket("127.0.0.1", port).close();
            say("connected");
        } catch (IOException error) {
            say("connect", error.getMessage());
        }
    }

    static byte[] all(AsynchronousSocketChannel channel) throws Exception {
        ByteBuffer buffer = ByteBuffer.allocate(3000000);
        while (channel.read(buffer).get() >= 0) {}
        return Arrays.copyOf(buffer.array(), buffer.position());
    }

    // AsynchronousSocketChannel: epoll in threads of Java's own.
    static void asynchronous() throws Exception {
        try (var server = AsynchronousServerSocketChannel.open().bind(ANY)) {
            byte[] body = Bytes.make(2000000);
            int right = 0;
            for (int i = 0; i < 5; i++) {
                Future<AsynchronousSocketChannel> accepting = server.accept();
                try (var client = AsynchronousSocketChannel.open()) {
                    client.connect(server.getLocalAddress()).get();
                    try (AsynchronousSocketChannel peer = accepting.get()) {
                        Thread writer = start(() -> {
                            ByteBuffer buffer = ByteBuffer.wrap(body);
                            while (buffer.hasRemaining()) client.write(buffer).get();
                            client.shutdownOutput();
                        });
                        right += Bytes.sum(all(peer)).equals(Bytes.sum(body)) ? 1 : 0;
                        writer.join();
                        var done = new CompletableFuture<Throwable>();
                        client.read(ByteBuffer.allocate(5), 50, TimeUnit.MILLISECONDS, null,
                                    new CompletionHandler<Integer, Void>() {
                            @Override
                            public void completed(Integer count, Void nothing) { done.complete(null); }

                            @Override
                            public void failed(Throwable error, Void nothing) { done.complete(error); }
                        });
                        right += done.get() instanceof InterruptedByTimeoutException ? 1 : 0;
                    }
                }
            }
            say("asynchronous", right);
            Future<AsynchronousSocketChannel> accepting = server.accept();
            server.close();
            try {
                accepting.get();
            } catch (ExecutionException error) {
                say("asynchronous accept", error.getCause().getClass().getSimpleName());
            }
        }
    }

    // transferTo a socket (sendfile) and transferFrom one; gathering and scattering.
    static void files() throws Exception {
        byte[] body = Bytes.make(5000000);
        Path from = folder.resolve("from"), to = folder.resolve("to");
        Files.write(from, body);
        try (ServerSocketChannel server = ServerSocketChannel.open().bind(ANY);
             FileChannel file = FileChannel.open(from);
             FileChannel copy = FileChannel.open(to, StandardOpenOption.CREATE, StandardOpenOption.WRITE,
                                                 StandardOpenOption.READ)) {
            Thread sender = start(() -> {
                try (SocketChannel channel = SocketChannel.open(server.getLocalAddress())) {
                    for (long at = 0; at < body.length;) at += file.transferTo(at, body.length - at, channel);
                    ByteBuffer[] two = {ByteBuffer.wrap(new byte[] {1, 2}), ByteBuffer.allocateDirect(3)};
                    say("gathered", channel.write(two));
                }
            });
            try (SocketChannel peer = server.accept()) {
                for (long at = 0; at < body.length;) at += copy.transferFrom(peer, at, body.length - at);
                sender.join();
                ByteBuffer[] two = {ByteBuffer.allocateDirect(1), ByteBuffer.allocate(9)};
                say("scattered", peer.read(two), two[0].position(), two[1].position(), peer.read(two));
            }
        }
        say("transferred", Bytes.sum(Files.readAllBytes(to)).equals(Bytes.sum(body)));
        // A non-blocking socket: what it does not take is not sent.
        try (ServerSocketChannel server = ServerSocketChannel.open().bind(ANY);
             SocketChannel channel = SocketChannel.open(server.getLocalAddress());
             SocketChannel peer = server.accept(); FileChannel file = FileChannel.open(from)) {
            channel.configureBlocking(false);
            long sent = 0, now;
            for (int i = 0; i < 10000 && (now = file.transferTo(0, body.length, channel)) > 0; i++) sent += now;
            channel.shutdownOutput();
            ByteBuffer buffer = ByteBuffer.allocate(1 << 20);
            long received = 0;
            for (int count; (count = peer.read(buffer.clear())) >= 0;) received += count;
            say("a full socket", sent > 0 && sent == received);
        }
    }

    // Two listeners on one port each get some connections; and what options return.
    static void options() throws Exception {
        try (ServerSocketChannel one = ServerSocketChannel.open(); ServerSocketChannel two = ServerSocketChannel.open()) {
            one.setOption(StandardSocketOptions.SO_REUSEPORT, true).bind(ANY);
            InetSocketAddress address = (InetSocketAddress) one.getLocalAddress();
            try (ServerSocketChannel none = ServerSocketChannel.open()) {
                none.bind(address);
                say("bound without SO_REUSEPORT");
            } catch (BindException error) {
                say("bind", error.getMessage());
            }
            two.setOption(StandardSocketOptions.SO_REUSEPORT, true).bind(address);
            one.configureBlocking(false);
            two.configureBlocking(false);
            int[] accepted = new int[2];
            for (int i = 0; i < 60; i++) {
                try (SocketChannel client = SocketChannel.open(address)) {
                    SocketChannel peer = null;
                    for (int k = 0; peer == null; k ^= 1) {
                        peer = (k == 0 ? one : two).accept();
                        if (peer != null) accepted[k]++;
                    }
                    peer.close();
                }
            }
            say("SO_REUSEPORT", accepted[0] > 0, accepted[1] > 0, accepted[0] + accepted[1]);
        }
        try (SocketChannel channel = SocketChannel.open()) {
            channel.setOption(StandardSocketOptions.TCP_NODELAY, true);
            channel.setOption(StandardSocketOptions.SO_KEEPALIVE, true);
            channel.setOption(StandardSocketOptions.SO_LINGER, 7);
            channel.setOption(StandardSocketOptions.SO_RCVBUF, 30000);
            channel.setOption(jdk.net.ExtendedSocketOptions.TCP_KEEPIDLE, 99);
            for (var name : new java.net.SocketOption<?>[] {
                     StandardSocketOptions.TCP_NODELAY, StandardSocketOptions.SO_KEEPALIVE,
                     StandardSocketOptions.SO_LINGER, StandardSocketOptions.SO_RCVBUF,
                     StandardSocketOptions.IP_TOS, jdk.net.ExtendedSocketOptions.TCP_KEEPIDLE}) {
                say(name, channel.getOption(name));
            }
        }
        NetworkInterface lo = NetworkInterface.getByInetAddress(InetAddress.getByName("127.0.0.1"));
        say(lo.getName(), lo.isLoopback(), lo.isUp(), lo.getMTU());
        say("reachable", InetAddress.getByName("127.0.0.1").isReachable(3000));
    }

    // curl, started by posix_spawn and a helper, against a server in this process.
    static void processes() throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(4);
        HttpServer server = Server.start(ANY, pool);
        byte[] body = Bytes.make(100000);
        Path file = folder.resolve("body");
        Files.write(file, body);
        String url = "http://127.0.0.1:" + server.getAddress().getPort() + "/";
        int right = 0;
        for (int i = 0; i < 5; i++) {
            Process curl = new ProcessBuilder("curl", "-sSf", "--max-time", "20", "--data-binary", "@" + file, url).start();
            try (InputStream out = curl.getInputStream()) {
                String want = body.length + " " + Bytes.sum(body) + " 127.0.0.1";
                right += new String(out.readAllBytes()).equals(want) ? 1 : 0;
            }
            right += curl.waitFor() == 0 ? 10 : 0;
        }
        server.stop(0);
        Process late = new ProcessBuilder("curl", "-s", url).start();
        say("processes", right, late.waitFor());
        pool.shutdown();
    }

    static class Node {
        int value;
        Node next;
    }

    static int deep(Node node) {
        return 1 + deep(node);
    }

    // Null pointers and stack overflows are SIGSEGV, which Java's handler turns into exceptions: in
    // threads that have just used a socket, and in one that waits on one.
    static void faults() throws Exception {
        try (ServerSocketChannel server = ServerSocketChannel.open().bind(ANY)) {
            Thread echo = start(() -> {
                try (SocketChannel peer = server.accept()) {
                    ByteBuffer buffer = ByteBuffer.allocateDirect(100);
                    while (peer.read(buffer.clear()) >= 0) peer.write(buffer.flip());
                }
            });
            AtomicBoolean stop = new AtomicBoolean();
            AtomicInteger others = new AtomicInteger();
            Thread beside = start(() -> {
                Node none = new Node();
                while (!stop.get()) {
                    try {
                        none.next.value++;
                    } catch (NullPointerException error) {
                        others.incrementAndGet();
                    }
                }
            });
            int nulls = 0, overflows = 0, right = 0;
            Node node = new Node();
            try (SocketChannel channel = SocketChannel.open(server.getLocalAddress())) {
                for (int i = 0; i < 3000; i++) {
                    byte[] body = Bytes.make(1 + i % 100);
                    write(channel, body);
                    for (int k = 0; k < 3; k++) {
                        try {
                            node.next.value = i;
                        } catch (NullPointerException error) {
                            nulls++;
                        }
                    }
                    if (i % 300 == 0) {
                        try {
                            deep(node);
                        } catch (StackOverflowError error) {
                            overflows++;
                        }
                    }
                    right += Arrays.equals(readFully(channel, body.length), body) ? 1 : 0;
                }
            }
            stop.set(true);
            beside.join();
            echo.join();
            say("faults", right, nulls, overflows, others.get() > 0);
        }
    }

    static final Map<String, Part> PARTS = new LinkedHashMap<>();

    static {
        PARTS.put("selector", Network::selector);
        PARTS.put("wakeup", Network::wakeup);
        PARTS.put("interrupted", Network::interrupted);
        PARTS.put("asynchronous", Network::asynchronous);
        PARTS.put("files", Network::files);
        PARTS.put("options", Network::options);
        PARTS.put("processes", Network::processes);
        PARTS.put("faults", Network::faults);
    }

    public static void main(String[] args) throws Exception {
        folder = Path.of(args[0]);
        for (var part : PARTS.entrySet()) {
            if (args.length == 1 || args[1].equals(part.getKey())) part.getValue().run();
        }
        System.exit(3);
    }
}
