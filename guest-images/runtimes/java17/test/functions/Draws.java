package example;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.ObjectInputStream;
import java.io.ObjectOutputStream;
import java.lang.reflect.Field;
import java.security.SecureRandom;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Random;
import java.util.SplittableRandom;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.AtomicLong;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;

/** Knows what each source of random numbers would give next, and tells whether it still does. */
public class Draws implements RequestHandler<Object, Map<String, Boolean>> {
    private final Map<String, Callable<Object>> sources = new LinkedHashMap<>();
    private final Map<String, Object> expected = new LinkedHashMap<>();
    private final SecureRandom drbg = SecureRandom.getInstance("DRBG");

    public Draws() throws Exception {
        Random random = new Random();
        add("Random", random::nextLong, twin(random).nextLong());
        Random gaussian = new Random();
        gaussian.nextGaussian();
        add("Random.nextGaussian", gaussian::nextGaussian, twin(gaussian).nextGaussian());
        Math.random();
        Class<?> holder = Class.forName("java.lang.Math$RandomNumberGeneratorHolder");
        add("Math.random", Math::random, twin((Random) read(holder, "randomNumberGenerator", null)).nextDouble());
        add("SHA1PRNG", seeded()::nextLong, seeded().nextLong());
        add("SplittableRandom", new SplittableRandom(5)::nextLong, new SplittableRandom(5).nextLong());
        for (String name : new String[] {"L64X128MixRandom", "Xoshiro256PlusPlus", "L32X64MixRandom"}) {
            RandomGeneratorFactory<RandomGenerator> factory = RandomGeneratorFactory.of(name);
            add(name, factory.create(7)::nextLong, factory.create(7).nextLong());
        }
        addDrbg();
        addThread();
        addKernel();
        addSeeder("seed of a new Random", Random.class, "seedUniquifier");
        addSeeder("seed of a new SplittableRandom", SplittableRandom.class, "defaultGen");
        addSeeder("seed of a new thread", ThreadLocalRandom.class, "seeder");
    }

    @Override
    public Map<String, Boolean> handleRequest(Object event, Context context) {
        Map<String, Boolean> same = new LinkedHashMap<>();
        sources.forEach((name, source) -> same.put(name, expected.get(name).equals(call(source))));
        return same;
    }

    private void addSeeder(String name, Class<?> type, String field) throws Exception {
        AtomicLong seeder = (AtomicLong) read(type, field, null);
        add(name, seeder::get, seeder.get());
    }

    private void addDrbg() throws Exception {
        drbg.nextLong();
        Object outer = read(SecureRandom.class, "secureRandomSpi", drbg);
        Object mechanism = read(outer.getClass(), "impl", outer);
        Class<?> type = Class.forName("sun.security.provider.HashDrbg");
        Callable<Object> state = () -> Arrays.toString((byte[]) read(type, "v", mechanism));
        add("DRBG", state, state.call());
    }

    /** A handler is called by the thread that makes it. */
    private void addThread() throws Exception {
        ThreadLocalRandom.current();
        Field seed = opened(Thread.class, "threadLocalRandomSeed");
        long before = seed.getLong(Thread.currentThread());
        add("ThreadLocalRandom", () -> ThreadLocalRandom.current().nextLong(), ThreadLocalRandom.current().nextLong());
        seed.setLong(Thread.currentThread(), before);
    }

    /** What the kernel gave and was not handed out yet lies in a buffer; a second generator is mixed in. */
    private void addKernel() throws Exception {
        Object kernel = read(Class.forName("sun.security.provider.NativePRNG"), "INSTANCE", null);
        SecureRandom secure = new SecureRandom();
        byte[] drawn = new byte[16];
        secure.nextBytes(drawn);
        UUID.randomUUID();
        // The buffer is thrown away when it is old, or used up: not in this test.
        opened(kernel.getClass(), "lastRead").setLong(kernel, System.currentTimeMillis() + 3_600_000);
        byte[] buffer = (byte[]) read(kernel.getClass(), "nextBuffer", kernel);
        Field buffered = opened(kernel.getClass(), "buffered");
        buffered.setInt(kernel, buffer.length);
        Object mixed = read(kernel.getClass(), "mixRandom", kernel);
        Field[] fields = {opened(mixed.getClass(), "state"), opened(mixed.getClass(), "remainder"), opened(mixed.getClass(), "remCount")};
        Object[] before = new Object[fields.length];
        for (int index = 0; index < fields.length; index += 1) {
            Object value = fields[index].get(mixed);
            before[index] = value instanceof byte[] bytes ? bytes.clone() : value;
        }
        Callable<Object> bytes = () -> {
            secure.nextBytes(drawn);
            return Arrays.toString(drawn);
        };
        add("SecureRandom", bytes, bytes.call());
        add("UUID.randomUUID", UUID::randomUUID, UUID.randomUUID());
        buffered.setInt(kernel, buffer.length);
        for (int index = 0; index < fields.length; index += 1) {
            fields[index].set(mixed, before[index]);
        }
    }

    private void add(String name, Callable<Object> source, Object next) {
        sources.put(name, source);
        expected.put(name, next);
    }

    private static SecureRandom seeded() throws Exception {
        SecureRandom generator = SecureRandom.getInstance("SHA1PRNG");
        generator.setSeed(new byte[] {1, 2, 3});
        return generator;
    }

    private static Random twin(Random random) throws Exception {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        new ObjectOutputStream(bytes).writeObject(random);
        return (Random) new ObjectInputStream(new ByteArrayInputStream(bytes.toByteArray())).readObject();
    }

    private static Object call(Callable<Object> source) {
        try {
            return source.call();
        } catch (Exception failure) {
            throw new IllegalStateException(failure);
        }
    }

    private static Object read(Class<?> type, String name, Object target) throws Exception {
        return opened(type, name).get(target);
    }

    private static Field opened(Class<?> type, String name) throws Exception {
        Field field = type.getDeclaredField(name);
        field.setAccessible(true);
        return field;
    }
}
