# The two libraries, and what `cmake --install build` puts where.
#   libhypno   the runtime: runs plans; no LLVM, no YAML
#   libhypnoc  the compiler: models to plans
include(GNUInstallDirs)

add_library(hypno_runtime STATIC $<TARGET_OBJECTS:hyp_rt> $<TARGET_OBJECTS:hyp_base>)
set_target_properties(hypno_runtime PROPERTIES OUTPUT_NAME hypno
    ARCHIVE_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
if(TARGET hyp_driver)
    set(HYP_COMPILER_OBJECTS "")
    foreach(layer hyp_driver hyp_front hyp_passes hyp_lower hyp_loop hyp_interp hyp_llvm hyp_ir hyp_ops)
        if(TARGET ${layer})
            list(APPEND HYP_COMPILER_OBJECTS $<TARGET_OBJECTS:${layer}>)
        endif()
    endforeach()
    add_library(hypno_compiler STATIC ${HYP_COMPILER_OBJECTS})
    set_target_properties(hypno_compiler PROPERTIES OUTPUT_NAME hypnoc
        ARCHIVE_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
endif()

if(HYP_LLVM)
    set(HYP_LLVM_LINK "-L${HYP_LLVM_LIBDIR} -lLLVM-19")
endif()
file(RELATIVE_PATH HYP_PC_PREFIX /x/${CMAKE_INSTALL_LIBDIR}/pkgconfig /x)
foreach(package hypno hypnoc)
    configure_file(cmake/${package}.pc.in ${CMAKE_BINARY_DIR}/${package}.pc @ONLY)
    install(FILES ${CMAKE_BINARY_DIR}/${package}.pc
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endforeach()

install(TARGETS hypno_runtime ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(TARGET hypno_compiler)
    install(TARGETS hypno_compiler ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
if(TARGET hypno)
    install(TARGETS hypno RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
# Headers keep their places below include/hypno: #include "runtime/train.h" with -I include/hypno.
foreach(dir runtime ops compiler codegen)
    install(DIRECTORY ${dir} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/hypno
        FILES_MATCHING PATTERN "*.h" PATTERN "*.def"
        PATTERN "*_impl.h" EXCLUDE PATTERN "*_internal.h" EXCLUDE PATTERN "cli" EXCLUDE
        PATTERN "llvm" EXCLUDE)
endforeach()
install(DIRECTORY graphs DESTINATION ${CMAKE_INSTALL_DATADIR}/hypnograph)
install(FILES docs/hypnograph.schema.json DESTINATION ${CMAKE_INSTALL_DATADIR}/hypnograph)
install(FILES docs/hypno.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES docs/hypno.bash RENAME hypno
    DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES docs/_hypno DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
