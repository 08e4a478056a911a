// What the launcher needs and Java has no way to do.

#include <jni.h>
#include <jvmti.h>
#include <stdlib.h>
#include <unistd.h>

#define FOUND 1

JNIEXPORT jint JNICALL Java_dev_firn_launcher_Native_changeFolder(JNIEnv *env, jclass self, jbyteArray path) {
  jbyte *bytes = (*env)->GetByteArrayElements(env, path, NULL);
  if (bytes == NULL) return -1;
  jint result = chdir((const char *)bytes);
  (*env)->ReleaseByteArrayElements(env, path, bytes, JNI_ABORT);
  return result;
}

JNIEXPORT jint JNICALL Java_dev_firn_launcher_Native_setVariable(JNIEnv *env, jclass self, jbyteArray name,
                                                                 jbyteArray value) {
  jint result = -1;
  jbyte *name_bytes = (*env)->GetByteArrayElements(env, name, NULL);
  jbyte *value_bytes = (*env)->GetByteArrayElements(env, value, NULL);
  if (name_bytes != NULL && value_bytes != NULL)
    result = setenv((const char *)name_bytes, (const char *)value_bytes, 1);
  if (name_bytes != NULL) (*env)->ReleaseByteArrayElements(env, name, name_bytes, JNI_ABORT);
  if (value_bytes != NULL) (*env)->ReleaseByteArrayElements(env, value, value_bytes, JNI_ABORT);
  return result;
}

static jvmtiIterationControl JNICALL mark(jlong class_tag, jlong size, jlong *tag, void *data) {
  *tag = FOUND;
  return JVMTI_ITERATION_CONTINUE;
}

// JVMTI's tags exist for as long as its environment: that one lives for this call alone, so nothing slows the collector down after it.
JNIEXPORT jobjectArray JNICALL Java_dev_firn_launcher_Native_findInstances(JNIEnv *env, jclass self, jclass wanted) {
  JavaVM *vm = NULL;
  jvmtiEnv *jvmti = NULL;
  jobjectArray result = NULL;
  if ((*env)->GetJavaVM(env, &vm) != JNI_OK) return NULL;
  if ((*vm)->GetEnv(vm, (void **)&jvmti, JVMTI_VERSION_1_2) != JNI_OK) return NULL;
  jvmtiCapabilities capabilities = {.can_tag_objects = 1};
  jlong tag = FOUND;
  jint count = 0;
  jobject *objects = NULL;
  if ((*jvmti)->AddCapabilities(jvmti, &capabilities) == JVMTI_ERROR_NONE &&
      (*jvmti)->IterateOverInstancesOfClass(jvmti, wanted, JVMTI_HEAP_OBJECT_EITHER, mark, NULL) == JVMTI_ERROR_NONE &&
      (*jvmti)->GetObjectsWithTags(jvmti, 1, &tag, &count, &objects, NULL) == JVMTI_ERROR_NONE) {
    jclass object_class = (*env)->FindClass(env, "java/lang/Object");
    if (object_class != NULL) result = (*env)->NewObjectArray(env, count, object_class, NULL);
    for (jint i = 0; i < count; i++) {
      if (result != NULL) (*env)->SetObjectArrayElement(env, result, i, objects[i]);
      (*env)->DeleteLocalRef(env, objects[i]);
    }
    (*jvmti)->Deallocate(jvmti, (unsigned char *)objects);
  }
  (*jvmti)->DisposeEnvironment(jvmti);
  return result;
}
