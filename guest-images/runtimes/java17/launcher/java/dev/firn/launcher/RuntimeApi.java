package dev.firn.launcher;

import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.ConnectException;
import java.net.Socket;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.locks.LockSupport;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

/**
 * A client of the agent's Runtime API: one connection, one request at a time.
 *
 * <p>A GET waits as long as the agent does; a POST is answered at once, and so has a deadline.
 */
final class RuntimeApi {
    private static final int POST_DEADLINE_MS = 60_000;
    private static final long CONNECT_DEADLINE_NS = 30_000_000_000L;
    private static final long CONNECT_PAUSE_NS = 20_000_000;
    private static final int LONGEST_LINE_BYTES = 1024 * 1024;
    private static final int LONGEST_BODY_BYTES = 64 * 1024 * 1024;

    private final String address;
    private final byte[] buffer = new byte[16 * 1024];
    private Socket socket;
    private int position;
    private int limit;

    /** @param address Host and port. */
    RuntimeApi(String address) {
        if (address == null || address.lastIndexOf(':') < 0) {
            throw new IllegalArgumentException("AWS_LAMBDA_RUNTIME_API must be set to host and port, but is " + address + ".");
        }
        this.address = address;
    }

    /** What was answered. Names of headers are in small letters. */
    record Response(String request, int status, Map<String, String> headers, byte[] body) {
        /** This response, if it has that status. */
        Response expect(int wanted) throws IOException {
            if (status == wanted) {
                return this;
            }
            String said = new String(body, java.nio.charset.StandardCharsets.UTF_8).strip();
            throw new IOException(request + " was answered with status " + status + " in place of " + wanted + ": " + said);
        }
    }

    /** Asks, and waits for the answer however long that takes. */
    Response get(String path) throws IOException {
        return exchange("GET", path, "", new byte[0], 0);
    }

    /** Sends JSON. */
    Response post(String path, byte[] body) throws IOException {
        return exchange("POST", path, "Content-Type: application/json\r\n", body, POST_DEADLINE_MS);
    }

    /** Sends the description of an error. */
    Response post(String path, String errorType, byte[] body) throws IOException {
        String headers = "Content-Type: application/json\r\nLambda-Runtime-Function-Error-Type: " + errorType + "\r\n";
        return exchange("POST", path, headers, body, POST_DEADLINE_MS);
    }

    private Response exchange(String method, String path, String headers, byte[] body, int deadlineMs) throws IOException {
        if (socket == null) {
            int colon = address.lastIndexOf(':');
            socket = connect(address.substring(0, colon), Integer.parseInt(address.substring(colon + 1)));
            socket.setTcpNoDelay(true);
            position = 0;
            limit = 0;
        }
        boolean isReusable = false;
        try {
            socket.setSoTimeout(deadlineMs);
            String length = method.equals("POST") ? "Content-Length: " + body.length + "\r\n" : "";
            byte[] head = (method + " " + path + " HTTP/1.1\r\nHost: " + address + "\r\n" + headers + length + "\r\n")
                    .getBytes(ISO_8859_1);
            byte[] message = new byte[head.length + body.length];
            System.arraycopy(head, 0, message, 0, head.length);
            System.arraycopy(body, 0, message, head.length, body.length);
            OutputStream output = socket.getOutputStream();
            output.write(message);
            Response response = read(method + " " + path);
            isReusable = !"close".equalsIgnoreCase(response.headers().get("connection"));
            return response;
        } finally {
            if (!isReusable) {
                Socket used = socket;
                socket = null;
                used.close();
            }
        }
    }

    /** The agent starts this program first, and listens while it loads. */
    private static Socket connect(String host, int port) throws IOException {
        long begin = System.nanoTime();
        for (;;) {
            try {
                return new Socket(host, port);
            } catch (ConnectException refused) {
                if (System.nanoTime() - begin > CONNECT_DEADLINE_NS) {
                    throw refused;
                }
                LockSupport.parkNanos(CONNECT_PAUSE_NS);
            }
        }
    }

    private Response read(String request) throws IOException {
        String[] statusLine = line().split(" ", 3);
        if (statusLine.length < 2) {
            throw new IOException(request + " was not answered in HTTP.");
        }
        Map<String, String> headers = new TreeMap<>();
        for (String line = line(); !line.isEmpty(); line = line()) {
            int colon = line.indexOf(':');
            if (colon > 0) {
                headers.put(line.substring(0, colon).toLowerCase(Locale.ROOT), line.substring(colon + 1).strip());
            }
        }
        if (headers.containsKey("transfer-encoding")) {
            throw new IOException(request + " was answered in chunks, which the launcher does not read.");
        }
        int length = Integer.parseInt(headers.getOrDefault("content-length", "0"));
        if (length < 0 || length > LONGEST_BODY_BYTES) {
            throw new IOException(request + " was answered with " + length + " bytes.");
        }
        byte[] body = new byte[length];
        int taken = Math.min(length, limit - position);
        System.arraycopy(buffer, position, body, 0, taken);
        position += taken;
        InputStream input = socket.getInputStream();
        if (input.readNBytes(body, taken, length - taken) < length - taken) {
            throw new EOFException(request + ": the agent closed the connection.");
        }
        return new Response(request, Integer.parseInt(statusLine[1]), headers, body);
    }

    private String line() throws IOException {
        StringBuilder line = new StringBuilder();
        for (;;) {
            if (position == limit) {
                position = 0;
                limit = Math.max(0, socket.getInputStream().read(buffer));
                if (limit == 0) {
                    throw new EOFException("The agent closed the connection.");
                }
            }
            char character = (char) (buffer[position++] & 0xff);
            if (character == '\n') {
                return line.toString();
            }
            if (character != '\r') {
                line.append(character);
            }
            if (line.length() > LONGEST_LINE_BYTES) {
                throw new IOException("The agent sent a header of more than " + LONGEST_LINE_BYTES + " bytes.");
            }
        }
    }
}
