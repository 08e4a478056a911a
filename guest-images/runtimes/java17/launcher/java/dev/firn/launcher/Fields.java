package dev.firn.launcher;

import java.lang.reflect.Field;

/** Fields of the class library that it keeps to itself. Their names are those of Java 17. */
final class Fields {
    private Fields() {}

    static Class<?> classOf(String name) {
        try {
            return Class.forName(name);
        } catch (ClassNotFoundException missing) {
            throw new IllegalStateException("This Java has no " + name + ".", missing);
        }
    }

    static Field of(Class<?> type, String name) {
        try {
            return opened(type.getDeclaredField(name));
        } catch (NoSuchFieldException missing) {
            throw new IllegalStateException("This Java has no " + name + " in " + type.getName() + ".", missing);
        }
    }

    static Field opened(Field field) {
        field.setAccessible(true);
        return field;
    }

    static Object get(Field field, Object target) {
        try {
            return field.get(target);
        } catch (IllegalAccessException closed) {
            throw new IllegalStateException(closed);
        }
    }

    static void setLong(Field field, Object target, long value) {
        try {
            field.setLong(target, value);
        } catch (IllegalAccessException closed) {
            throw new IllegalStateException(closed);
        }
    }

    static void setInt(Field field, Object target, int value) {
        try {
            field.setInt(target, value);
        } catch (IllegalAccessException closed) {
            throw new IllegalStateException(closed);
        }
    }

    static void setBoolean(Field field, Object target, boolean value) {
        try {
            field.setBoolean(target, value);
        } catch (IllegalAccessException closed) {
            throw new IllegalStateException(closed);
        }
    }
}
