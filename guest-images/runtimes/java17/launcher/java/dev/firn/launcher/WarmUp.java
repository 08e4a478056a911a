package dev.firn.launcher;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import com.amazonaws.services.lambda.runtime.RequestStreamHandler;
import com.amazonaws.services.lambda.runtime.api.client.EventHandlerLoader;
import com.amazonaws.services.lambda.runtime.api.client.HandlerInfo;
import com.amazonaws.services.lambda.runtime.api.client.runtimeapi.dto.InvocationRequest;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.math.BigDecimal;
import java.security.MessageDigest;
import java.time.Instant;
import java.time.LocalDate;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.UUID;
import java.util.concurrent.ThreadLocalRandom;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

import static java.nio.charset.StandardCharsets.UTF_8;

/**
 * Calls what functions call, so that its classes are loaded and initialized in the snapshot that all functions share.
 *
 * <p>Of AWS's client all but {@code LambdaEnvironment} and {@code AWSLambda} belong there: these two keep variables of the environment.
 */
final class WarmUp {
    private static final String EVENT =
            "{\"text\":\"é\",\"number\":1.5,\"count\":12345678901,\"yes\":true,\"none\":null,\"list\":[1,{\"a\":\"b\"}]}";

    private WarmUp() {}

    /** What needs no environment. */
    static void withoutFunction() throws Exception {
        Hooks.prepare();
        EventHandlerLoader.loadEventHandler(new HandlerInfo(Echo.class, null));
        EventHandlerLoader.loadEventHandler(new HandlerInfo(Copy.class, null));
        EventHandlerLoader.loadEventHandler(HandlerInfo.fromString(Pojo.class.getName() + "::greet", Pojo.class.getClassLoader()));
        Failure.describe(new IllegalStateException("example", new IOException("cause")));
        Math.random();
        UUID.randomUUID();
        ThreadLocalRandom.current().nextInt();
        new SplittableRandom().nextInt();
        String text = List.of("b", "a").stream().sorted().map(one -> one + "!").collect(Collectors.joining(","));
        MessageDigest.getInstance("SHA-256").digest(text.getBytes(UTF_8));
        Base64.getEncoder().encodeToString(Pattern.compile("(a)\\s*").matcher(text).replaceAll("$1").getBytes(UTF_8));
        String.format("%s %d %.2f %s", Instant.now(), 1, new BigDecimal("1.5").doubleValue(), LocalDate.EPOCH);
    }

    /** What reads the environment when it is first used. It is that of the function by then. */
    static void withEnvironment() {
        for (Class<?> type : List.of(Echo.class, Copy.class)) {
            InvocationRequest request = new InvocationRequest();
            request.setId("warm-up");
            request.setInvokedFunctionArn("");
            request.setContent(EVENT.getBytes(UTF_8));
            try {
                EventHandlerLoader.loadEventHandler(new HandlerInfo(type, null)).call(request);
            } catch (Exception impossible) {
                throw new IllegalStateException(impossible);
            }
        }
    }

    /** A function like many. */
    public static final class Echo implements RequestHandler<Map<String, Object>, Map<String, Object>> {
        @Override
        public Map<String, Object> handleRequest(Map<String, Object> event, Context context) {
            context.getRemainingTimeInMillis();
            return event;
        }
    }

    /** A function that reads and writes streams. */
    public static final class Copy implements RequestStreamHandler {
        @Override
        public void handleRequest(InputStream input, OutputStream output, Context context) throws IOException {
            input.transferTo(output);
        }
    }

    /** A function whose handler is any method. */
    public static final class Pojo {
        public String greet(Map<String, String> names) {
            return names.toString();
        }
    }
}
