const SYMMETRIC = 'an HMAC: a secret that verifies can sign as well, and no such key can be authorized'
const OTHER_HASH = 'an RSA signature with SHA-384 or SHA-512: not one of the five algorithms'
const EMPTY = 'an empty payload: claims are never empty'
const OTHER_ALGORITHM = 'the key says one algorithm and the header another'
const UNKNOWN_CURVE = 'P-521: not one of the supported curves'

/** Cases of json_web_signature_test.json that come out otherwise than they are labelled, with the reason. */
export const DEVIATIONS: Readonly<Record<number, string>> = {
  1: SYMMETRIC,
  259: EMPTY,
  264: OTHER_HASH,
  265: OTHER_HASH,
  266: OTHER_HASH,
  267: OTHER_HASH,
  268: OTHER_HASH,
  269: OTHER_HASH,
  270: OTHER_HASH,
  271: OTHER_HASH,
  272: EMPTY,
  320: OTHER_HASH,
  321: OTHER_HASH,
  322: OTHER_HASH,
  323: OTHER_HASH,
  325: OTHER_HASH,
  326: OTHER_HASH,
  327: OTHER_HASH,
  328: OTHER_HASH,
  346: OTHER_ALGORITHM,
  347: UNKNOWN_CURVE,
  348: SYMMETRIC,
  350: OTHER_ALGORITHM,
  351: UNKNOWN_CURVE,
  352: SYMMETRIC,
  357: SYMMETRIC,
  358: SYMMETRIC,
  359: SYMMETRIC,
  372: SYMMETRIC,
  373: SYMMETRIC,
  376: SYMMETRIC,
  377: SYMMETRIC,
}
