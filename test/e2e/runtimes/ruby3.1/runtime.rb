# Runs one function in Ruby: waits for it, loads it, and asks the Runtime API for its invocations.
require "json"
require "net/http"
require "openssl"

HOST, PORT = ENV.fetch("AWS_LAMBDA_RUNTIME_API").split(":")
API = "/2018-06-01/runtime"
# There is no limit to the time until the next invocation.
HTTP = Net::HTTP.start(HOST, PORT.to_i, read_timeout: nil, keep_alive_timeout: 86_400)

def error_of(error)
  JSON.generate(errorType: error.class.name, errorMessage: error.message, stackTrace: error.backtrace || [])
end

# The base snapshot is taken while this waits.
function = JSON.parse(HTTP.get("/firn/v1/load/next").body)
function["environment"].each { |name, value| ENV[name] = value }
Dir.chdir("/srv")
file, name = function["handler"].split(".", 2)
begin
  require File.join("/srv", file)
  handler = method(name)
rescue Exception => error # rubocop:disable Lint/RescueException
  HTTP.post("#{API}/init/error", error_of(error))
  exit 1
end

# The function's snapshot is taken while this waits. What Ruby draws from itself is drawn anew in each clone.
HTTP.get("#{API}/restore/next") if ENV["AWS_LAMBDA_INITIALIZATION_TYPE"] == "snap-start"
srand
OpenSSL::Random.seed(Random.urandom(48))

loop do
  invocation = HTTP.get("#{API}/invocation/next")
  id = invocation["Lambda-Runtime-Aws-Request-Id"]
  begin
    result = JSON.generate(handler.call(event: JSON.parse(invocation.body), context: id))
    HTTP.post("#{API}/invocation/#{id}/response", result)
  rescue StandardError => error
    HTTP.post("#{API}/invocation/#{id}/error", error_of(error))
  end
end
