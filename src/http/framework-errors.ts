import type { ProblemCode } from './problems.ts'

// The problems for error codes of Fastify (its Errors reference) and of Node's HTTP parser.
const FRAMEWORK_CODES: Partial<Record<string, ProblemCode>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'body_too_large',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'unsupported_media_type',
  FST_ERR_CTP_INVALID_JSON_BODY: 'invalid_json',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'invalid_json',
  FST_ERR_MAX_PARAM_LENGTH: 'url_too_long',
  // The client left before it had sent the whole body.
  ECONNRESET: 'bad_request',
  HPE_HEADER_OVERFLOW: 'headers_too_large',
  ERR_HTTP_REQUEST_TIMEOUT: 'request_timeout'
}

/** Returns the problem for an error of the framework or of Node's parser, and `otherwise` for any other error. */
export function problemOfFramework<T>(error: { code?: string | undefined; statusCode?: number }, otherwise: T) {
  const { code = '', statusCode = 500 } = error
  return FRAMEWORK_CODES[code] ?? (statusCode < 500 ? 'bad_request' : otherwise)
}
