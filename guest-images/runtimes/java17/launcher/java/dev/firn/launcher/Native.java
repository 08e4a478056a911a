package dev.firn.launcher;

import static java.nio.charset.StandardCharsets.UTF_8;

/** What Java has no way to do. */
final class Native {
    static {
        System.load(System.getProperty("firn.native", "/opt/firn/java17/libfirn.so"));
    }

    private Native() {}

    /** Makes this the folder that relative paths start from. */
    static void changeFolder(String path) {
        if (changeFolder(terminated(path)) != 0) {
            throw new IllegalStateException("FIRN_FUNCTION_IMPORT: the folder " + path + " cannot be entered.");
        }
        System.setProperty("user.dir", path);
    }

    /** Sets a variable of the environment for native libraries, which do not see what {@link System#getenv} has. */
    static void setVariable(String name, String value) {
        setVariable(terminated(name), terminated(value));
    }

    /** All objects of a class or interface that the heap has, those of its subclasses included. */
    static Object[] instancesOf(Class<?> wanted) {
        Object[] found = findInstances(wanted);
        if (found == null) {
            throw new IllegalStateException("This virtual machine does not tell which objects of " + wanted + " it has.");
        }
        return found;
    }

    private static native Object[] findInstances(Class<?> wanted);

    private static native int changeFolder(byte[] path);

    private static native int setVariable(byte[] name, byte[] value);

    private static byte[] terminated(String text) {
        return (text + "\0").getBytes(UTF_8);
    }
}
