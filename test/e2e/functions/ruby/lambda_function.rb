IMPORTED_AT = Time.now.to_f

def lambda_handler(event:, context:)
  raise ArgumentError, "no name" if event["fail"]

  { greeting: "Hello, #{event["name"]}!", ruby: RUBY_VERSION, importedAt: IMPORTED_AT, random: rand, request: context }
end
