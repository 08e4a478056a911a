package dev.firn.launcher;

import java.lang.management.ManagementFactory;
import java.lang.management.MemoryPoolMXBean;
import java.lang.management.MemoryType;
import java.lang.management.MemoryUsage;

/** Leaves as little as possible in memory before a snapshot. */
final class Memory {
    /** Arrays of this size fit into what is left of a generation, nearly to its end. */
    private static final int PIECE_BYTES = 64 * 1024;

    private Memory() {}

    /**
     * Collects garbage, and overwrites with zeros what the collector leaves behind in the young generation: pages of zeros need no room in
     * a snapshot.
     */
    static void tidy() {
        System.gc();
        for (MemoryPoolMXBean pool : ManagementFactory.getMemoryPoolMXBeans()) {
            if (pool.getType() == MemoryType.HEAP && pool.getName().contains("Eden")) {
                MemoryUsage usage = pool.getUsage();
                long pieces = (usage.getCommitted() - usage.getUsed()) / PIECE_BYTES - 1;
                for (long piece = 0; piece < pieces; piece += 1) {
                    sink = new byte[PIECE_BYTES];
                }
                sink = null;
            }
        }
        System.gc();
    }

    /** Keeps the compiler from leaving the arrays out. */
    private static volatile byte[] sink;
}
