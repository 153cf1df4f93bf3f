/* logger_codes.h - the stable word at the end of each warning and error: what it means, what to do. */
#pragma once

#define LOGGER_CODE_TABLE(X)                                                                       \
    X(NONE, "", "")                                                                                \
    X(CORRUPT, "LOG-CORRUPT", "Bytes on this node's disk are damaged; nothing wrong was served.")   \
    X(DISK, "DISK-FAILED", "A write or sync failed; the node stops, the others go on.")             \
    X(PEER, "PEER-REFUSED", "A peer's handshake was refused; the line says why.")                   \
    X(CLUSTER_AUTH, "CLUSTER-NO-AUTH", "Cluster links run without authorization: set cluster.authorization.") \
    X(CLIENT_SLOW, "SLOW-CONSUMER", "A client did not read fast enough and was closed.")            \
    X(CONFIG, "CONFIG", "A config key has no effect here; the line says which and why.")            \
    X(CERT_EXPIRY, "CERT-EXPIRY", "A TLS certificate of this node expires soon: replace its files.")   \
    X(CERT_RELOAD, "CERT-RELOAD", "Changed TLS files can't be used; the certificate before stays.")    \
    X(STALL, "LOOP-STALL", "The loop was held up for longer than it should be.")

enum logger_code {
#define LOGGER_CODE_ROW(name, word, meaning) LOG_##name,
    LOGGER_CODE_TABLE(LOGGER_CODE_ROW)
#undef LOGGER_CODE_ROW
    LOGGER_CODES
};
