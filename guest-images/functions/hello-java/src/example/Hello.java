package example;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import java.security.SecureRandom;
import java.time.Instant;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Random;
import java.util.UUID;
import java.util.concurrent.ThreadLocalRandom;

/** Greets. {@code "show": "random"} in the event adds what differs in every clone of the snapshot. */
public class Hello implements RequestHandler<Map<String, String>, Map<String, Object>> {
    private static final String LOADED_AT = Instant.now().toString();

    private final SecureRandom secure = new SecureRandom();
    private final Random random = new Random();
    private int invocations;

    @Override
    public Map<String, Object> handleRequest(Map<String, String> event, Context context) {
        invocations += 1;
        Map<String, Object> answer = new LinkedHashMap<>();
        answer.put("greeting", "Hello, " + event.getOrDefault("name", "world") + "!");
        if ("random".equals(event.get("show"))) {
            byte[] bytes = new byte[16];
            secure.nextBytes(bytes);
            answer.put("uuid", UUID.randomUUID().toString());
            answer.put("randomBytes", HexFormat.of().formatHex(bytes));
            answer.put("mathRandom", Math.random());
            answer.put("random", Long.toString(random.nextLong()));
            answer.put("newRandom", Long.toString(new Random().nextLong()));
            answer.put("threadLocalRandom", Long.toString(ThreadLocalRandom.current().nextLong()));
            answer.put("date", Instant.now().toString());
            answer.put("loadedAt", LOADED_AT);
            answer.put("invocations", invocations);
        }
        return answer;
    }
}
