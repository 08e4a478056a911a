// An addon for Node.js with what JavaScript cannot do around a snapshot.
//
// reseed(Uint8Array): boolean gives every random number generator of OpenSSL that the calling thread uses a new seed. Other threads'
// generators follow at their next draw: they compare their parent's reseed count.
//
// releaseFreeMemory() gives memory that malloc keeps for later back to the kernel.
//
// closeOnExec(number): boolean keeps a descriptor from processes that this one starts.
#include <fcntl.h>
#include <malloc.h>
#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>

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

static bool export_function(napi_env env, napi_value exports, const char *name, napi_callback callback) {
  napi_value function;
  return napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, NULL, &function) == napi_ok &&
         napi_set_named_property(env, exports, name, function) == napi_ok;
}

NAPI_MODULE_INIT() {
  bool exported = export_function(env, exports, "reseed", reseed) &&
                  export_function(env, exports, "releaseFreeMemory", release_free_memory) &&
                  export_function(env, exports, "closeOnExec", close_on_exec);
  return exported ? exports : NULL;
}
