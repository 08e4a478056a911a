package dev.firn.launcher;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.AtomicLong;
import java.util.random.RandomGenerator;

/**
 * Sees to it that no two clones of a snapshot draw the same random numbers.
 *
 * <p>Everything that holds a state of random numbers is looked for before a snapshot, when time is not dear, and gets a new one from the
 * kernel after it, before any code of the function runs.
 */
final class Randomness {
    private static final int SEED_BYTES = 32;
    /** Random keeps 48 bits. */
    private static final long RANDOM_MASK = (1L << 48) - 1;

    /** The number of the machine's resume, which the agent changes; null where there is no agent. */
    private final MappedByteBuffer generation;
    private int seen;
    private boolean isGathered;
    private Object[] generators = {};
    private Object[] kernelBuffers = {};
    private List<AtomicLong> seeders = List.of();
    private Thread[] threads = {};

    private final Field randomSeed = Fields.of(Random.class, "seed");
    private final Field hasNextGaussian = Fields.of(Random.class, "haveNextNextGaussian");
    private final Field threadSeed = Fields.of(Thread.class, "threadLocalRandomSeed");
    private final Class<?> kernelBuffer = Fields.classOf("sun.security.provider.NativePRNG$RandomIO");
    private final Field buffered = Fields.of(kernelBuffer, "buffered");

    /** @param generationFile The agent's file. */
    Randomness(Path generationFile) throws IOException {
        if (Files.exists(generationFile)) {
            try (RandomAccessFile file = new RandomAccessFile(generationFile.toFile(), "r")) {
                generation = file.getChannel().map(FileChannel.MapMode.READ_ONLY, 0, Integer.BYTES);
            }
            seen = generation.getInt(0);
        } else {
            generation = null;
        }
    }

    /** Finds everything that is to be renewed: the last thing before a snapshot. */
    void gather() {
        generators = Native.instancesOf(RandomGenerator.class);
        kernelBuffers = Native.instancesOf(kernelBuffer);
        seeders = findSeeders();
        ThreadGroup group = Thread.currentThread().getThreadGroup();
        while (group.getParent() != null) {
            group = group.getParent();
        }
        threads = new Thread[group.activeCount() + 16];
        group.enumerate(threads, true);
        isGathered = true;
    }

    /** Renews it, if the machine was resumed since the last time. */
    void renewIfResumed() {
        if (generation != null && generation.getInt(0) != seen) {
            seen = generation.getInt(0);
            renew();
        }
    }

    /** Gives a new state to everything that was gathered. */
    void renew() {
        if (!isGathered) {
            gather();
        }
        // First of all: the others draw from it.
        for (Object buffer : kernelBuffers) {
            Fields.setInt(buffered, buffer, 0);
        }
        SecureRandom source = new SecureRandom();
        for (AtomicLong seeder : seeders) {
            seeder.set(source.nextLong());
        }
        for (Thread thread : threads) {
            if (thread != null) {
                Fields.setLong(threadSeed, thread, source.nextLong());
            }
        }
        for (Object generator : generators) {
            if (generator instanceof SecureRandom secure) {
                renewSecure(secure, source);
            } else if (generator instanceof Random random) {
                renewRandom(random, source);
            } else {
                renewFields(generator, source);
            }
        }
        generators = new Object[0];
        kernelBuffers = new Object[0];
        threads = new Thread[0];
        seeders = List.of();
        isGathered = false;
    }

    /** What the kernel's random numbers are taken from needs nothing more; others mix new bytes into their state. */
    private static void renewSecure(SecureRandom secure, SecureRandom source) {
        if (!secure.getAlgorithm().startsWith("NativePRNG")) {
            byte[] seed = new byte[SEED_BYTES];
            source.nextBytes(seed);
            try {
                secure.setSeed(seed);
            } catch (RuntimeException refused) {
                System.err.println("FIRN_RANDOM_BEFORE_SNAPSHOT: a generator " + secure.getAlgorithm()
                        + " takes no new seed: its numbers are the same in all clones. " + refused);
            }
        }
    }

    private void renewRandom(Random random, SecureRandom source) {
        // Its numbers are those of its thread.
        if (random instanceof ThreadLocalRandom) {
            return;
        }
        Object seed = Fields.get(randomSeed, random);
        if (seed instanceof AtomicLong state) {
            state.set(source.nextLong() & RANDOM_MASK);
            Fields.setBoolean(hasNextGaussian, random, false);
        }
    }

    /** SplittableRandom and the generators of jdk.random keep their state in plain fields, for which any value will do. */
    private static void renewFields(Object generator, SecureRandom source) {
        Class<?> type = generator.getClass();
        // A function's own generators are its own affair.
        if (!type.getModule().isNamed()) {
            return;
        }
        for (Field field : type.getDeclaredFields()) {
            int modifiers = field.getModifiers();
            if (Modifier.isStatic(modifiers) || Modifier.isFinal(modifiers)) {
                continue;
            }
            if (field.getType() == long.class) {
                Fields.setLong(Fields.opened(field), generator, source.nextLong());
            } else if (field.getType() == int.class) {
                Fields.setInt(Fields.opened(field), generator, source.nextInt());
            }
        }
    }

    /** Where generators that are made later get their seeds from. */
    private static List<AtomicLong> findSeeders() {
        List<AtomicLong> found = new ArrayList<>();
        found.add((AtomicLong) Fields.get(Fields.of(Random.class, "seedUniquifier"), null));
        found.add((AtomicLong) Fields.get(Fields.of(ThreadLocalRandom.class, "seeder"), null));
        for (Object loaded : Native.instancesOf(Class.class)) {
            Class<?> type = (Class<?>) loaded;
            if (type.getName().startsWith("jdk.random.") || type.getName().equals("java.util.SplittableRandom")) {
                for (Field field : type.getDeclaredFields()) {
                    if (field.getName().equals("defaultGen") && field.getType() == AtomicLong.class) {
                        found.add((AtomicLong) Fields.get(Fields.opened(field), null));
                    }
                }
            }
        }
        return found;
    }
}
