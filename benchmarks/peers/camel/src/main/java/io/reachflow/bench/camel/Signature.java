package io.reachflow.bench.camel;

import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.util.HexFormat;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/** Reachflow's own scheme: HMAC-SHA256 over {@code <t>.<delivery>.<event>.<body>}. */
final class Signature {
  private static final long REPLAY_SECONDS = 300;

  private final ThreadLocal<Mac> macs;

  Signature(String secret) {
    SecretKeySpec key =
        new SecretKeySpec(secret.getBytes(StandardCharsets.UTF_8), "HmacSHA256");
    macs =
        ThreadLocal.withInitial(
            () -> {
              try {
                Mac mac = Mac.getInstance("HmacSHA256");
                mac.init(key);
                return mac;
              } catch (GeneralSecurityException e) {
                throw new IllegalStateException(e);
              }
            });
  }

  /** Within the replay window, compared in constant time. */
  boolean isValid(String header, String delivery, String event, byte[] body) {
    if (header == null || delivery == null) return false;
    String stamp = null;
    byte[] given = null;
    try {
      for (String part : header.split(",")) {
        if (part.startsWith("t=")) stamp = part.substring(2);
        else if (part.startsWith("v1=")) given = HexFormat.of().parseHex(part, 3, part.length());
      }
      if (stamp == null || given == null) return false;
      long age = System.currentTimeMillis() / 1_000 - Long.parseLong(stamp);
      if (Math.abs(age) > REPLAY_SECONDS) return false;
    } catch (IllegalArgumentException malformed) {
      return false;
    }
    Mac mac = macs.get();
    String signed = stamp + "." + delivery + "." + (event == null ? "" : event) + ".";
    mac.update(signed.getBytes(StandardCharsets.UTF_8));
    return MessageDigest.isEqual(mac.doFinal(body), given);
  }
}
