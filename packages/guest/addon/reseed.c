// An addon for Node.js with what JavaScript cannot do around a snapshot.
//
// reseed(Uint8Array): boolean gives every random number generator of OpenSSL that the calling thread uses a new seed. Other threads'
// generators follow at their next draw: they compare their parent's reseed count.
//
// releaseFreeMemory() gives memory that malloc keeps for later back to the kernel.
//
// closeOnExec(number): boolean keeps a descriptor from processes that this one starts.
//
// mapWord(string): ArrayBuffer | undefined maps the first four bytes of a file, to be read only: what others write there is seen at once.
#define _POSIX_C_SOURCE 200809L
#include <fcntl.h>
#include <malloc.h>
#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

// OpenSSL 3 as node exports it; declared here because the headers of node's own OpenSSL are not at hand.
typedef struct evp_rand_ctx_st EVP_RAND_CTX;
typedef struct ossl_lib_ctx_st OSSL_LIB_CTX;
extern EVP_RAND_CTX *RAND_get0_primary(OSSL_LIB_CTX *context);
extern EVP_RAND_CTX *RAND_get0_public(OSSL_LIB_CTX *context);
extern EVP_RAND_CTX *RAND_get0_private(OSSL_LIB_CTX *context);
extern int EVP_RAND_reseed(EVP_RAND_CTX *generator, int prediction_resistance, const unsigned char *entropy,
                           size_t entropy_length, const unsigned char *additional, size_t additional_length);

static bool reseed_all(const unsigned char *entropy, size_t length) {
  // The primary first: the others draw their seed from it.
  EVP_RAND_CTX *generators[] = {RAND_get0_primary(NULL), RAND_get0_public(NULL), RAND_get0_private(NULL)};
  bool all = true;
  for (size_t index = 0; index < sizeof generators / sizeof *generators; index++) {
    // With prediction resistance the operating system, reseeded by now, is asked as well.
    all &= generators[index] != NULL && EVP_RAND_reseed(generators[index], 1, NULL, 0, entropy, length) == 1;
  }
  return all;
}

static napi_value reseed(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value argument;
  napi_typedarray_type type;
  size_t length = 0;
  void *data = NULL;
  if (napi_get_cb_info(env, info, &count, &argument, NULL, NULL) != napi_ok || count < 1 ||
      napi_get_typedarray_info(env, argument, &type, &length, &data, NULL, NULL) != napi_ok ||
      type != napi_uint8_array || length == 0) {
    napi_throw_type_error(env, "FIRN_RESEED", "reseed() takes a Uint8Array that is not empty.");
    return NULL;
  }
  napi_value result;
  if (napi_get_boolean(env, reseed_all(data, length), &result) != napi_ok) return NULL;
  return result;
}

static napi_value release_free_memory(napi_env env, napi_callback_info info) {
  (void)env;
  (void)info;
  malloc_trim(0);
  return NULL;
}

static napi_value close_on_exec(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value argument;
  int32_t descriptor = -1;
  if (napi_get_cb_info(env, info, &count, &argument, NULL, NULL) != napi_ok || count < 1 ||
      napi_get_value_int32(env, argument, &descriptor) != napi_ok) {
    napi_throw_type_error(env, "FIRN_DESCRIPTOR", "closeOnExec() takes a descriptor.");
    return NULL;
  }
  napi_value result;
  if (napi_get_boolean(env, fcntl(descriptor, F_SETFD, FD_CLOEXEC) == 0, &result) != napi_ok) return NULL;
  return result;
}

static const size_t word_bytes = sizeof(uint32_t);

static void unmap_word(napi_env env, void *word, void *hint) {
  (void)env;
  (void)hint;
  munmap(word, word_bytes);
}

static napi_value map_word(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value argument;
  char path[4096];
  size_t length = 0;
  if (napi_get_cb_info(env, info, &count, &argument, NULL, NULL) != napi_ok || count < 1 ||
      napi_get_value_string_utf8(env, argument, path, sizeof path, &length) != napi_ok) {
    napi_throw_type_error(env, "FIRN_PATH", "mapWord() takes a path.");
    return NULL;
  }
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return NULL;
  // A page beyond the end of its file cannot be read.
  bool whole = lseek(file, 0, SEEK_END) >= (off_t)word_bytes;
  void *word = whole ? mmap(NULL, word_bytes, PROT_READ, MAP_SHARED, file, 0) : MAP_FAILED;
  close(file);
  if (word == MAP_FAILED) return NULL;
  napi_value result;
  if (napi_create_external_arraybuffer(env, word, word_bytes, unmap_word, NULL, &result) != napi_ok) {
    munmap(word, word_bytes);
    return NULL;
  }
  return result;
}

static bool export_function(napi_env env, napi_value exports, const char *name, napi_callback callback) {
  napi_value function;
  return napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, NULL, &function) == napi_ok &&
         napi_set_named_property(env, exports, name, function) == napi_ok;
}

NAPI_MODULE_INIT() {
  bool exported = export_function(env, exports, "reseed", reseed) &&
                  export_function(env, exports, "releaseFreeMemory", release_free_memory) &&
                  export_function(env, exports, "closeOnExec", close_on_exec) &&
                  export_function(env, exports, "mapWord", map_word);
  return exported ? exports : NULL;
}
